//! Which origins a delivery concerns.

use crate::domain::names::OriginName;
use crate::domain::push::{Push, Told};

/// Where branches are.
const BRANCHES: &str = "refs/heads/";

/// An origin of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub origin: OriginName,
    /// The whole name of the ref that it serves; without one any branch concerns it.
    pub reference: Option<String>,
}

impl Served {
    fn is_of(&self, push: &Push) -> bool {
        match &self.reference {
            Some(reference) => *reference == push.reference,
            None => push.reference.starts_with(BRANCHES),
        }
    }
}

/// Returns each push for each origin that it concerns, and if it concerns none, why.
pub(super) fn concerned(told: Told, origins: &[Served]) -> (Vec<(OriginName, Push)>, String) {
    let pushes = match told {
        Told::Pushes(pushes) => pushes,
        Told::Other(event) => return (Vec::new(), format!("`{event}` tells of no push")),
    };
    let of = |push: &Push| {
        let origins = origins.iter().filter(|served| served.is_of(push));
        let rows = origins.map(|served| (served.origin.clone(), push.clone()));
        rows.collect::<Vec<_>>()
    };
    let rows: Vec<_> = pushes.iter().flat_map(of).collect();
    let why = match (rows.as_slice(), pushes.as_slice()) {
        ([_, ..], _) => String::new(),
        ([], []) => "it tells of no ref that moved".to_owned(),
        ([], [push]) => format!("{} is served by no origin of this hook", push.reference),
        ([], [push, more @ ..]) => format!(
            "{} and {} more refs are served by no origin of this hook",
            push.reference,
            more.len()
        ),
    };
    (rows, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::push::Listed;

    fn push(reference: &str) -> Push {
        let listed = Listed::nothing("a test");
        Push { reference: reference.to_owned(), before: None, after: None, listed }
    }

    #[test]
    fn a_push_concerns_the_origins_that_serve_its_ref() {
        let served = |name: &str, reference: Option<&str>| Served {
            origin: OriginName::from(name),
            reference: reference.map(str::to_owned),
        };
        let origins = [served("any", None), served("www", Some("refs/heads/main"))];
        let concerns = |references: &[&str]| {
            let told = Told::Pushes(references.iter().map(|reference| push(reference)).collect());
            let (rows, why) = concerned(told, &origins);
            let row = |(origin, push): &(OriginName, Push)| format!("{origin} {}", push.reference);
            (rows.iter().map(row).collect::<Vec<_>>().join(", "), why)
        };
        let main = "any refs/heads/main, www refs/heads/main";
        assert_eq!(concerns(&["refs/heads/main"]), (main.to_owned(), String::new()));
        let both = concerns(&["refs/heads/dev", "refs/tags/v1"]);
        assert_eq!(both, ("any refs/heads/dev".to_owned(), String::new()));
        let why = |references| concerns(references).1;
        assert_eq!(why(&["refs/tags/v1"]), "refs/tags/v1 is served by no origin of this hook");
        let two = "refs/tags/v1 and 1 more refs are served by no origin of this hook";
        assert_eq!(why(&["refs/tags/v1", "refs/notes/x"]), two);
        assert_eq!(why(&[]), "it tells of no ref that moved");
        let ping = concerned(Told::Other("ping".to_owned()), &origins);
        assert_eq!(ping, (Vec::new(), "`ping` tells of no push".to_owned()));
    }
}
