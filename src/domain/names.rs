//! Names an operator gives: of accounts, origins and this machine.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an `[account.NAME]`: one Alibaba Cloud account, with its endpoint and quotas.
    AccountName
}
name! {
    /// The name of an `[origin.NAME]`: a tree of files whose content CDN domains serve.
    OriginName
}
name! {
    /// The name of a `[hook.NAME]`: who may tell of pushes at `/hooks/NAME`.
    HookName
}
name! {
    /// The identity of one state directory, drawn when it is made: who speaks to a journal.
    NodeId
}
