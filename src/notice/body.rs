//! What is posted, in the form that each receiver takes, signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::domain::alarm::{Alarm, AlarmKind, Severity};
use crate::domain::notice::{Language, Receiver};
use crate::domain::time::Timestamp;

/// Whether an alarm began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// It was raised.
    Raised,
    /// It is gone.
    Ended,
}

/// What there is to tell of an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The alarm's key.
    pub(super) key: String,
    /// How bad it is.
    pub(super) severity: Severity,
    /// Since when it stands.
    pub(super) since: Option<Timestamp>,
    /// What is wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
    /// Where more is told.
    pub(super) see: String,
}

impl From<&Alarm> for Told {
    fn from(alarm: &Alarm) -> Self {
        Self {
            key: alarm.key.clone(),
            severity: alarm.severity,
            since: alarm.since,
            what: alarm.what.clone(),
            remedy: alarm.remedy.clone(),
            see: alarm.see.clone(),
        }
    }
}

/// A request that is ready to be sent.
pub(super) struct Post {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// Writes a request. `id` stays the same when it is sent again; `now` is this machine's time.
pub(super) fn post(
    (receiver, language): (Receiver, Language),
    url: &Url,
    secret: Option<&str>,
    (event, told): (Event, &Told),
    id: &str,
    now: Timestamp,
) -> Post {
    let text = text(language, event, told);
    let mut url = url.clone();
    let mut headers = vec![("content-type", "application/json".to_owned())];
    let body = match receiver {
        Receiver::Slack => json!({ "text": text }),
        Receiver::DingTalk => {
            if let Some(secret) = secret {
                let millis = (now.as_micros() / 1_000).to_string();
                let signed = format!("{millis}\n{secret}");
                let sign = sign(secret.as_bytes(), signed.as_bytes());
                url.query_pairs_mut().append_pair("timestamp", &millis).append_pair("sign", &sign);
            }
            let title = title(language, event, told);
            json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text.replace('\n', "\n\n") } })
        }
        Receiver::Feishu => {
            let mut body = json!({ "msg_type": "text", "content": { "text": text } });
            if let Some(secret) = secret {
                let seconds = now.as_seconds().to_string();
                let sign = sign(format!("{seconds}\n{secret}").as_bytes(), b"");
                body["timestamp"] = Value::String(seconds);
                body["sign"] = Value::String(sign);
            }
            body
        }
        Receiver::Generic => json!({
            "type": if event == Event::Raised { "alarm.raised" } else { "alarm.ended" },
            "timestamp": now.to_string(),
            "data": {
                "alarm": told.key, "severity": told.severity, "what": told.what,
                "remedy": told.remedy, "see": told.see,
                "since": told.since.map(|since| since.to_string()),
            },
        }),
    };
    let body = body.to_string();
    if receiver == Receiver::Generic {
        let seconds = now.as_seconds().to_string();
        if let Some(secret) = secret {
            let encoded = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
            let key = encoded.unwrap_or_else(|| secret.as_bytes().to_vec());
            let sign = sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
            headers.push(("webhook-signature", format!("v1,{sign}")));
        }
        headers.push(("webhook-id", id.to_owned()));
        headers.push(("webhook-timestamp", seconds));
    }
    Post { url, headers, body }
}

fn sign(key: &[u8], text: &[u8]) -> String {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Says whether a receiver took a post: some refuse with 200 and a code in the body.
pub(super) fn judge(receiver: Receiver, status: u16, body: &[u8]) -> Result<(), String> {
    if !(200..300).contains(&status) {
        return Err(format!("it answered {status}"));
    }
    let keys = match receiver {
        Receiver::DingTalk => ["errcode", "errmsg"],
        Receiver::Feishu => ["code", "msg"],
        Receiver::Generic | Receiver::Slack => return Ok(()),
    };
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer[keys[0]].as_i64() {
        Some(0) => Ok(()),
        Some(code) => {
            let said = answer[keys[1]].as_str().unwrap_or_default();
            let said: String = said.escape_debug().take(200).collect();
            Err(format!("it refused: {code}: {said}"))
        }
        None => Err("its answer tells of no success".to_owned()),
    }
}

fn title(language: Language, event: Event, told: &Told) -> String {
    let kind = told.key.split('/').next().and_then(AlarmKind::parse);
    match (language, event) {
        (Language::English, Event::Raised) => {
            format!("refreshd {}: {}", told.severity.as_str(), told.key)
        }
        (Language::English, Event::Ended) => format!("refreshd: {} is over", told.key),
        (Language::Chinese, event) => {
            let of = kind.map_or("", chinese);
            let word = match (event, told.severity) {
                (Event::Ended, _) => "已恢复",
                (Event::Raised, Severity::Error) => "错误",
                (Event::Raised, Severity::Warning) => "警告",
            };
            format!("refreshd {word}：{of}（{}）", told.key)
        }
    }
}

fn text(language: Language, event: Event, told: &Told) -> String {
    let title = title(language, event, told);
    let since = told.since.map(|since| since.to_string()).unwrap_or_default();
    let (what, remedy, see) = (&told.what, &told.remedy, &told.see);
    match (language, event) {
        (_, Event::Ended) => format!("{title}\n{what}"),
        (Language::English, Event::Raised) => format!(
            "{title}\n{what}\nsince: {since}\nto do: {remedy}\nmore: docs/troubleshooting.md#{see}"
        ),
        (Language::Chinese, Event::Raised) => format!(
            "{title}\n{what}\n开始时间：{since}\n处理办法：{remedy}\n详见：docs/troubleshooting.md#{see}"
        ),
    }
}

/// What an alarm is about, in Chinese.
const fn chinese(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::DatabaseFailing => "无法写入数据库",
        AlarmKind::LoopStuck => "内部任务停滞",
        AlarmKind::OriginUnavailable => "源站目录不可用",
        AlarmKind::KeyMissing => "没有访问密钥",
        AlarmKind::KeyRefused => "访问密钥被拒绝",
        AlarmKind::KeyExpires => "临时密钥即将过期",
        AlarmKind::KeyUnread => "密钥来源无法读取",
        AlarmKind::CdnClosed => "CDN 接口不可用",
        AlarmKind::CdnSlow => "CDN 接口变慢",
        AlarmKind::QuotaExhausted => "当日配额已用完",
        AlarmKind::QuotaForecast => "当日配额预计不足",
        AlarmKind::ChangesHeld => "变更等待人工确认",
        AlarmKind::PausedLong => "暂停超过一天",
        AlarmKind::GateClosed => "发布等待源站就绪",
        AlarmKind::LagHigh => "变更长时间未刷新",
        AlarmKind::DoubtLong => "调用结果未知",
        AlarmKind::IntentsFailed => "今日有刷新失败",
        AlarmKind::DeliveriesFailed => "推送通知处理失败",
        AlarmKind::WatchDegraded => "部分目录只能轮询",
        AlarmKind::DomainUnserved => "域名无法刷新",
        AlarmKind::DomainUnchecked => "域名未能核对",
        AlarmKind::PathsUnmapped => "路径没有对应网址",
        AlarmKind::ReloadRefused => "新配置被拒绝",
        AlarmKind::ClockOffset => "系统时钟偏差过大",
        AlarmKind::NoticesFailed => "告警通知发送失败",
    }
}

#[cfg(test)]
mod tests;
