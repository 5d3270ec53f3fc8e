//! One HTTP request as the model sees it, and its answer.

use bytes::Bytes;
use serde_json::{Value, json};

/// One HTTP request to the API.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// The query as it was sent, without `?`.
    pub(crate) query: String,
    /// The headers: names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_parameters(&self) -> Vec<(String, String)> {
        decode(self.query.as_bytes())
    }

    /// Returns the parameters from either place: operations differ in where their SDK puts them,
    /// and older SDKs put them elsewhere (API reference 1.1).
    pub(crate) fn parameters(&self) -> Parameters {
        let mut all = self.query_parameters();
        let form = self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if form {
            all.extend(decode(&self.body));
        }
        Parameters(all)
    }
}

fn decode(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// Decoded parameters of a call.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Returns a parameter's value; an empty one counts as not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    /// Reads a boolean: on the wire it is a word whose case differs between SDKs.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::format(name)),
        }
    }

    /// Reads a number between 1 and `most`.
    pub(crate) fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, Refusal> {
        match self.get(name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(Refusal::format(name)),
        }
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn missing(name: &str) -> Self {
        let text =
            format!("The parameter \"{name}\" is mandatory for this request and is missing.");
        Self::new(400, "MissingParameter", text)
    }

    pub(crate) fn format(name: &str) -> Self {
        let text = format!("The value of parameter {name} has a wrong format.");
        Self::new(400, "InvalidParameter.Format", text)
    }

    /// Returns the error body in JSON.
    pub(crate) fn body(&self, host: &str, request_id: &str) -> Value {
        json!({
            "RequestId": request_id,
            "HostId": host,
            "Code": self.code,
            "Message": self.message,
        })
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn accepted(mut body: Value, request_id: &str) -> Self {
        body["RequestId"] = request_id.into();
        Self { status: 200, body }
    }

    pub(crate) fn refused(refusal: &Refusal, host: &str, request_id: &str) -> Self {
        Self { status: refusal.status, body: refusal.body(host, request_id) }
    }
}
