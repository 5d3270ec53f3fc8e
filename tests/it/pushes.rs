//! Pushes: what a repository's commits say is what is refreshed.

mod odd;
pub(crate) mod repository;
mod site;
mod steps;
mod told;
