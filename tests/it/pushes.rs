//! Pushes: what a repository's commits say is what is refreshed.

pub(crate) mod repository;
mod site;
mod steps;
