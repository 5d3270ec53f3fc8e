//! A request's headers and, where it is a form, its payload.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use url::form_urlencoded;

use super::Refused;

/// The longest id or event that is taken: a UUID has 36 characters, and an id is a key of the inbox.
const LONGEST: usize = 200;

/// A request's headers: names in lower case, each with its values in order.
#[derive(Clone)]
pub struct Headers(BTreeMap<String, Vec<Vec<u8>>>);

impl Headers {
    /// Takes the headers in the order in which they came.
    #[must_use]
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut headers: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in pairs {
            headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_vec());
        }
        Self(headers)
    }

    /// Returns whether a header is there, whatever it says.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns what a header says; none if it is not there.
    pub(super) fn maybe(&self, name: &str) -> Result<Option<&[u8]>, Refused> {
        match self.0.get(name).map(Vec::as_slice) {
            None => Ok(None),
            Some([value]) if value.is_empty() => Err(Refused::Empty(name.to_owned())),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(Refused::Twice(name.to_owned())),
        }
    }

    /// Returns what a header says that must be there.
    pub(super) fn must(&self, name: &str) -> Result<&[u8], Refused> {
        self.maybe(name)?.ok_or_else(|| Refused::Missing(name.to_owned()))
    }

    /// Returns an id.
    pub(super) fn id(&self, name: &str) -> Result<Option<&str>, Refused> {
        self.short(name, u8::is_ascii_graphic, "an id: at most 200 visible ASCII characters")
    }

    /// Returns the sender's word for what happened.
    pub(super) fn event(&self, name: &str) -> Result<Option<&str>, Refused> {
        let is_fine = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        self.short(name, is_fine, "an event: at most 200 printable ASCII characters")
    }

    fn short(
        &self,
        name: &str,
        is_fine: impl Fn(&u8) -> bool,
        what: &'static str,
    ) -> Result<Option<&str>, Refused> {
        let Some(value) = self.maybe(name)? else { return Ok(None) };
        let fine = value.len() <= LONGEST && value.iter().all(is_fine);
        let text = str::from_utf8(value).ok().filter(|_| fine);
        text.map(Some).ok_or_else(|| Refused::Malformed { header: name.to_owned(), what })
    }

    /// Returns the JSON of a body: the body itself, or its field `payload` where it is a form.
    pub(super) fn payload<'a>(&self, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refused> {
        let kind = self.maybe("content-type")?.unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Ok(Cow::Borrowed(body));
        }
        let mut payloads = form_urlencoded::parse(body).filter(|(name, _)| name == "payload");
        match (payloads.next(), payloads.next()) {
            (Some((_, payload)), None) => Ok(Cow::Owned(payload.into_owned().into_bytes())),
            _ => Err(Refused::Form),
        }
    }
}

impl fmt::Debug for Headers {
    /// Writes the names: what stands behind them may be a token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}
