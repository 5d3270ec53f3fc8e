//! Operations on whole directories.

use std::fs;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Operations, VANISH};
use crate::churn::model::{Model, Node};

impl Operations {
    /// A directory with few enough files in it for all of them to vanish.
    fn small_directory(&mut self) -> Option<String> {
        let now = self.model.now();
        self.vanished.retain(|(at, _)| now.since(*at) < Duration::from_secs(1));
        let left = VANISH.saturating_sub(self.vanished.iter().map(|(_, files)| files).sum());
        let directory = self.directory()?;
        let files = self.model.below(&directory).len();
        (files <= left).then(|| {
            self.vanished.push_back((now, files));
            directory
        })
    }

    pub(super) fn remove_directory(&mut self) {
        let Some(path) = self.small_directory() else { return };
        // From the leaves, as `rm -r` does.
        for name in self.model.below(&path).into_iter().rev() {
            if self.model.nodes[&name] == Node::Directory {
                let full = self.model.full(&name);
                self.model.act(
                    [],
                    || fs::remove_dir(full),
                    |model| drop(model.nodes.remove(&name)),
                );
            } else {
                self.remove_name(&name);
            }
        }
    }

    fn move_tree(&mut self, from: &str, to: &str) {
        let names = self.model.below(from);
        let moved = |name: &String| format!("{to}{}", &name[from.len()..]);
        let touched: Vec<String> = names.iter().cloned().chain(names.iter().map(moved)).collect();
        let (old, new) = (self.model.full(from), self.model.full(to));
        self.model.act(
            touched,
            || fs::rename(old, new),
            |model| {
                for name in &names {
                    let node = model.nodes.remove(name).expect("it was there");
                    model.nodes.insert(moved(name), node);
                }
            },
        );
    }

    pub(super) fn move_directory(&mut self) {
        let Some(from) = self.small_directory() else { return };
        let to = self.place();
        if !to.starts_with(&format!("{from}/")) {
            self.move_tree(&from, &to);
        }
    }

    pub(super) fn swap_trees(&mut self) {
        let (Some(one), Some(two)) = (self.small_directory(), self.small_directory()) else {
            return;
        };
        let within =
            |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
        if within(&one, &two) || within(&two, &one) {
            return;
        }
        if self.roll(2) == 0 {
            let aside = self.place();
            if within(&aside, &one) || within(&aside, &two) {
                return;
            }
            self.move_tree(&one, &aside);
            self.move_tree(&two, &one);
            self.move_tree(&aside, &two);
            return;
        }
        let names = [self.model.below(&one), self.model.below(&two)];
        let swapped: Vec<(String, String)> = [(&names[0], &one, &two), (&names[1], &two, &one)]
            .into_iter()
            .flat_map(|(names, from, to)| {
                let pair =
                    move |name: &String| (name.clone(), format!("{to}{}", &name[from.len()..]));
                names.iter().map(pair)
            })
            .collect();
        let touched: Vec<String> =
            swapped.iter().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
        let (left, right) = (self.model.full(&one), self.model.full(&two));
        let real = || Ok(renameat_with(CWD, left, CWD, right, RenameFlags::EXCHANGE)?);
        self.model.act(touched, real, |model| {
            let nodes: Vec<Node> =
                swapped.iter().map(|(from, _)| model.nodes.remove(from).expect("there")).collect();
            for ((_, to), node) in swapped.iter().zip(nodes) {
                model.nodes.insert(to.clone(), node);
            }
        });
    }

    pub(super) fn fill_new_directories(&mut self) {
        let mut path = self.place();
        for _ in 0..=self.roll(3) {
            let full = self.model.full(&path);
            let made = |model: &mut Model| drop(model.nodes.insert(path.clone(), Node::Directory));
            self.model.act([], || fs::create_dir(full), made);
            for _ in 0..self.roll(5) {
                let name = self.fresh_name();
                self.write_new(&format!("{path}/{name}"));
            }
            path = format!("{path}/{}", self.fresh_name());
        }
    }
}
