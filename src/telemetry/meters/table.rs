//! Every metric there is: its name, sort, labels and help. The table in docs/metrics.md is made of it.

use super::Labels;

/// What a metric is, and where it is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Counted where it happens, since the start.
    Counter,
    /// A histogram of what is quick.
    Quick,
    /// A histogram of what may take hours.
    Slow,
    /// Read when it is asked for.
    Gauge,
    /// A count that is read when it is asked for.
    Told,
}

impl Sort {
    /// Returns what Prometheus calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter | Self::Told => "counter",
            Self::Quick | Self::Slow => "histogram",
            Self::Gauge => "gauge",
        }
    }
}

macro_rules! meters {
    ($($meter:ident $sort:ident $name:literal [$($label:literal),*] $help:literal)+) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Meter {
            $(#[doc = $help] $meter,)+
        }

        impl Meter {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$meter),+];

            /// Returns its sort.
            #[must_use]
            pub const fn sort(self) -> Sort {
                match self { $(Self::$meter => Sort::$sort,)+ }
            }

            /// Returns its whole name, without the `_total` of a counter.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$meter => $name,)+ }
            }

            /// Returns the names of its labels.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$meter => &[$($label),*],)+ }
            }

            /// Returns what it tells, in one sentence without its full stop.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$meter => $help,)+ }
            }
        }
    };
}

meters! {
    Build Gauge "refreshd_build_info" ["version"] "One, with the version that runs"
    Ready Gauge "refreshd_ready" [] "Whether every origin is watched or polled"
    Alarms Gauge "refreshd_alarms" ["alarm", "severity"] "How many alarms of a kind stand now"
    Beat Gauge "refreshd_heartbeat_age_seconds" ["part"] "Time since the loops and the database's writer last beat"

    OldestOpen Gauge "refreshd_oldest_open_seconds" [] "Age of the oldest intent that has not ended, held ones included"
    OldestUnexplained Gauge "refreshd_oldest_unexplained_seconds" [] "For how long a refresh could go on and does not, and nothing explains it"
    ToAccept Slow "refreshd_change_to_accept_seconds" [] "Time from the oldest cause of an intent until the CDN accepted it"
    ToDone Slow "refreshd_change_to_done_seconds" [] "Time from the oldest cause of an intent until the CDN had done it"

    State Gauge "refreshd_origin_state" ["origin", "state"] "One for the state that an origin is in, else zero"
    Files Gauge "refreshd_files" ["origin"] "Files in the index"
    Undigested Gauge "refreshd_undigested_files" ["origin"] "Files whose bytes have not been read once"
    Watches Gauge "refreshd_watches" ["origin"] "Kernel watches or marks held"
    Polled Gauge "refreshd_polled_subtrees" ["origin"] "Subtrees that send no events, up to 100"
    Dirty Gauge "refreshd_dirty_paths" ["origin"] "Paths seen and not settled yet"
    Unmapped Gauge "refreshd_unmapped_paths" ["origin"] "Paths that changed lately and have no URL, up to 100"
    Hints Counter "refreshd_hints" ["origin", "witness"] "Hints that came through the door of an origin"
    Changes Counter "refreshd_changes" ["origin", "witness"] "Changes that were recorded"
    Overflows Told "refreshd_event_overflows" ["origin"] "How often the kernel dropped events"
    Reconciles Told "refreshd_reconciles" ["origin"] "How often the whole tree, or all that is polled, was compared"

    Outbox Gauge "refreshd_outbox" [] "What is recorded and not yet accepted by the journal"
    Created Counter "refreshd_intents_created" [] "Wishes that became an intent of their own"
    Absorbed Counter "refreshd_intents_absorbed" [] "Wishes that joined a pending intent"
    Intents Gauge "refreshd_intents" ["state"] "Intents that have not ended, by state"
    Waiting Gauge "refreshd_intents_waiting" ["wait"] "Pending intents that wait, by what for"
    Ended Told "refreshd_intents_ended" ["outcome"] "Intents that ended, by outcome, since the journal was made"
    FailedToday Gauge "refreshd_intents_failed_today" [] "Intents that failed since the quota's day began"
    HeldSets Gauge "refreshd_held_deploys" [] "Deploys of which something waits for a person"
    HeldIntents Gauge "refreshd_held_intents" [] "Intents that wait for a person, in deploys"
    Paused Gauge "refreshd_paused" [] "Origins and accounts that are paused"
    GateDeploys Gauge "refreshd_gate_deploys" ["origin"] "Complete deploys that wait at a gate"
    GateWishes Gauge "refreshd_gate_wishes" ["origin"] "Wishes that wait at a gate"

    Batches Counter "refreshd_batches" ["account", "action", "kind", "result"] "Batches that were answered: accepted, refused or doubt"
    Retries Counter "refreshd_retries" ["account", "reason"] "Asks that are made once more, by why"
    Resent Told "refreshd_batches_resent" [] "Batches sent again after a doubt: each may have doubled its asks"
    Overlapped Told "refreshd_refreshes_repeated" [] "Refreshes repeated because a prefetch of the same URL overlapped"
    Doubts Gauge "refreshd_batches_in_doubt" [] "Batches of which nobody knows whether the CDN has them"
    ApiRequests Counter "refreshd_api_requests" ["account", "operation", "code"] "Calls of the CDN's API by how they ended: ok, a documented code, other, or how far they came"
    ApiTime Quick "refreshd_api_request_duration_seconds" ["account", "operation"] "How long calls of the CDN's API took"
    Way Gauge "refreshd_cdn_way" ["account", "way"] "One for how the way to the CDN stands, else zero"
    Answered Gauge "refreshd_cdn_answered_timestamp_seconds" ["account"] "When the CDN last answered"
    KeyExpiry Gauge "refreshd_key_expiry_timestamp_seconds" ["account"] "When a temporary access key expires"
    Unserved Gauge "refreshd_unserved_domains" ["account"] "Domains of origins that the account can't refresh"

    QuotaLimit Gauge "refreshd_quota_limit" ["account", "kind"] "What the day allows"
    QuotaUsed Gauge "refreshd_quota_used" ["account", "kind"] "What is spent of the day"
    QuotaLeft Gauge "refreshd_quota_left" ["account", "kind"] "What is left of the day"
    QuotaForeign Gauge "refreshd_quota_foreign" ["account", "kind"] "What others than this daemon spent of the day"
    QuotaReset Gauge "refreshd_quota_reset_timestamp_seconds" [] "When the day turns: 00:00 UTC+8"

    DeliveriesOpen Gauge "refreshd_deliveries_open" [] "Deliveries of hooks that are looked at, or will be"
    DeliveriesFailed Gauge "refreshd_deliveries_failed" [] "Deliveries that failed, of those that are kept"
    HookRequests Counter "refreshd_hook_requests" ["hook", "result"] "Requests to hooks: taken, repeated, or why refused"
    HookTime Quick "refreshd_hook_request_duration_seconds" [] "How long requests to hooks took"

    Notices Counter "refreshd_notices" ["notice", "result"] "Notices that were posted, and attempts that failed"
    NoticesWaiting Gauge "refreshd_notices_waiting" ["notice"] "Notices that wait to be posted"

    Commits Quick "refreshd_database_commit_duration_seconds" [] "How long transactions that wrote took, with their commit"
    CommitErrors Counter "refreshd_database_errors" [] "Transactions that failed because of the database"
    DatabaseSize Gauge "refreshd_database_size_bytes" [] "Size of the database and its write-ahead log"
    Failing Gauge "refreshd_failing_loops" [] "Loops that can't write down what they do"

    ReloadOk Gauge "refreshd_config_last_reload_successful" [] "Whether the configuration that was last to be loaded is in force"
    ReloadAt Gauge "refreshd_config_last_reload_timestamp_seconds" [] "When a configuration was last to be loaded; zero before"
    ClockOffset Gauge "refreshd_clock_offset_seconds" [] "How far the CDN's clock is ahead of this machine's"

    ProcessCpu Told "process_cpu_seconds" [] "Time on processors, of user and system"
    ProcessMemory Gauge "process_resident_memory_bytes" [] "Resident memory"
    ProcessFiles Gauge "process_open_fds" [] "Open file descriptors"
    ProcessMostFiles Gauge "process_max_fds" [] "File descriptors there may be"
    ProcessThreads Gauge "process_threads" [] "Threads"
    ProcessStart Gauge "process_start_time_seconds" [] "When the process started"
}

impl Meter {
    /// Returns labels with these values; a value that is missing is empty.
    #[must_use]
    pub fn labelled(self, values: &[&str]) -> Labels {
        let values = values.iter().copied().chain(std::iter::repeat(""));
        self.labels().iter().copied().zip(values.map(str::to_owned)).collect()
    }

    /// Returns its name as it is asked for in a query: a counter's ends in `_total`.
    #[must_use]
    pub fn queried(self) -> String {
        let total = if self.sort().as_str() == "counter" { "_total" } else { "" };
        format!("{}{total}", self.name())
    }
}
