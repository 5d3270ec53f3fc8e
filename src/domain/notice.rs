//! Notices: alarms that are posted to where people look.

/// Whose form a notice is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// JSON with Standard Webhooks' headers.
    Generic,
    /// A robot of `DingTalk`.
    DingTalk,
    /// A bot of Feishu.
    Feishu,
    /// An incoming webhook of Slack.
    Slack,
}

impl Receiver {
    /// The words that configuration has for them.
    pub const WORDS: &[(&str, Self)] = &[
        ("generic", Self::Generic),
        ("dingtalk", Self::DingTalk),
        ("feishu", Self::Feishu),
        ("slack", Self::Slack),
    ];
}

/// The language that a notice's own words are in; what is wrong is told as the daemon says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

impl Language {
    /// The words that configuration has for them.
    pub const WORDS: &[(&str, Self)] = &[("en", Self::English), ("zh", Self::Chinese)];
}
