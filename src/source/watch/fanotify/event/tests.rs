use proptest::prelude::*;

use super::*;

/// An event as Linux 6.18 wrote it on ext4 when `touch d/hello.html` made a file: a head of 24
/// bytes, and a record of 40: the file system, a handle of 8 bytes and type 1, the name, padding.
fn recorded() -> Vec<u8> {
    let mut bytes = vec![64, 0, 0, 0, 3, 0, 24, 0];
    bytes.extend((libc::FAN_CREATE | libc::FAN_CLOSE_WRITE).to_ne_bytes());
    bytes.extend((-1_i32).to_ne_bytes());
    bytes.extend(4711_i32.to_ne_bytes());
    bytes.extend([2, 0, 40, 0]);
    bytes.extend([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    bytes.extend([8, 0, 0, 0, 1, 0, 0, 0]);
    bytes.extend([0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8]);
    bytes.extend(b"hello.html\0\0");
    bytes
}

fn overflow() -> Vec<u8> {
    let mut bytes = vec![24, 0, 0, 0, 3, 0, 24, 0];
    bytes.extend(libc::FAN_Q_OVERFLOW.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

#[test]
fn an_event_is_a_directory_and_a_name() {
    let bytes = [recorded(), overflow(), recorded()].concat();
    let found: Vec<_> = events(&bytes).collect();
    assert_eq!((found.len(), &found[1]), (3, &Event::Overflow));
    let Event::Named(event) = &found[0] else { panic!("{found:?}") };
    assert_eq!(event.name, b"hello.html");
    assert_eq!(event.mask, libc::FAN_CREATE | libc::FAN_CLOSE_WRITE);
    assert_eq!(event.directory.file_system(), Some(0x8877_6655_4433_2211));
    let handle = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8];
    assert_eq!(event.directory.handle(), Handle::new(1, &handle));
    assert_eq!(found[0], found[2]);
}

#[test]
fn a_record_of_another_kind_is_passed_over() {
    let mut bytes = recorded();
    bytes.splice(24..24, [1, 0, 8, 0, 9, 9, 9, 9]);
    bytes[0] += 8;
    assert!(
        matches!(events(&bytes).next(), Some(Event::Named(event)) if event.name == b"hello.html")
    );
}

#[test]
fn what_was_cut_off_is_unknown_and_ends_the_buffer() {
    let whole = recorded();
    for length in 1..whole.len() {
        let found: Vec<_> = events(&whole[..length]).collect();
        assert_eq!(found, [Event::Unknown], "{length}");
    }
}

#[test]
fn lengths_that_lie_lead_nowhere() {
    // Each: where, and what is written there.
    let lies: [(usize, &[u8]); 9] = [
        (0, &[0, 0, 0, 0]),
        (0, &[23, 0, 0, 0]),
        (0, &[0xff, 0xff, 0xff, 0xff]),
        (4, &[9]),
        (6, &[0xff, 0xff]),
        (24, &[1, 0, 0, 0]),
        (26, &[0xff, 0xff]),
        (36, &[129, 0, 0, 0]),
        (36, &[0xff, 0xff, 0xff, 0xff]),
    ];
    for (from, lie) in lies {
        let mut bytes = recorded();
        bytes[from..from + lie.len()].copy_from_slice(lie);
        assert_eq!(events(&bytes).next(), Some(Event::Unknown), "{from} {lie:?}");
    }
    let mut nameless = recorded();
    nameless[52] = 0;
    assert_eq!(events(&nameless).next(), Some(Event::Unknown));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_run_for_ever(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((0_usize..64, any::<u8>()), 0..6),
    ) {
        let mut altered = recorded();
        for (place, byte) in changes {
            altered[place] = byte;
        }
        altered.extend(&bytes);
        for buffer in [&bytes, &altered] {
            prop_assert!(events(buffer).count() <= buffer.len() / HEAD + 1);
            for event in events(buffer) {
                if let Event::Named(event) = event {
                    let _ = (event.directory.file_system(), event.directory.handle());
                }
            }
        }
    }
}
