//! A terminal that keeps what is typed to itself.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Exit, Failed};

/// What Ctrl-C sends.
pub(super) const INTERRUPT: u8 = 0x03;

/// The terminal of standard input, showing nothing of what is typed and handing over each key at once, Ctrl-C
/// like any other: else the process would end and leave it so. It is as it was once this is dropped.
pub(super) struct Silence(Termios);

impl Silence {
    /// Begins it.
    pub(super) fn begin() -> Result<Self, Failed> {
        let io =
            |error| Failed::new(Exit::Io, format!("the terminal can't be made silent: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(io)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent).map_err(io)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
