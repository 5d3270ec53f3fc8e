//! Deliveries of hooks: who sent one, and what it says.
//!
//! Enters: a request's headers and its body, as bytes, and what time it is. Leaves: the proof that it came
//! from somebody who holds the hook's secret ([`verify`]), and which refs moved ([`told`]). Nothing here
//! reads or writes anything, and nothing is parsed before it is proved, but for one thing: where a sender
//! signs the field of a form and not the form, the field is taken out of it first.
//!
//! What is told is believed about as much as what the kernel tells of a file: somebody shall look there.

mod headers;
mod refused;
mod secrets;
mod told;
mod verify;

pub use self::headers::Headers;
pub use self::refused::Refused;
pub use self::secrets::{BadSecret, SHORTEST_SECRET, Secrets};
pub use self::told::{MOST_REFS, Unreadable, is_reference, told};
pub use self::verify::{Verified, must_have, verify};

#[cfg(test)]
mod tests;
