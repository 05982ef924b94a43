//! HTTP/1.1 as far as it is needed: one request without a body, one answer, the end (RFC 9112). Pure.

/// Longest request head in bytes.
pub const MAX_HEAD: usize = 8 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Target.
    pub path: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too long.
    #[error("request: expected a head of at most {MAX_HEAD} bytes, found more")]
    TooLong,
    /// Not HTTP.
    #[error("request: expected HTTP/1.1, found: {0}")]
    Malformed(String),
    /// The other side stopped in the middle.
    #[error("request: expected an empty line at the end of the head, found the end of the connection")]
    Incomplete,
    /// The other side takes its time.
    #[error("request: expected it within two seconds")]
    Slow,
}

impl RequestError {
    /// HTTP status (RFC 9110 §15.5, RFC 6585 §5).
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLong => 431,
            Self::Malformed(_) | Self::Incomplete => 400,
            Self::Slow => 408,
        }
    }
}

impl Request {
    /// The request that `head` begins with; none while its head is not whole.
    ///
    /// # Errors
    /// [`RequestError::TooLong`], [`RequestError::Malformed`].
    pub fn parse(head: &[u8]) -> Result<Option<Self>, RequestError> {
        if head.len() > MAX_HEAD {
            return Err(RequestError::TooLong);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(head) {
            Ok(httparse::Status::Partial) => Ok(None),
            Ok(httparse::Status::Complete(_)) => Ok(Some(Self {
                method: request.method.unwrap_or_default().to_owned(),
                path: request.path.unwrap_or_default().to_owned(),
            })),
            Err(error) => Err(RequestError::Malformed(error.to_string())),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Response {
    /// JSON.
    pub fn json(mut body: Vec<u8>) -> Self {
        body.push(b'\n');
        Self {
            status: 200,
            content_type: "application/json",
            body,
        }
    }

    /// Numbers for Prometheus.
    pub fn metrics(text: String) -> Self {
        Self {
            status: 200,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            body: text.into_bytes(),
        }
    }

    /// One sentence, also for a refusal.
    pub fn words(status: u16, why: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{why}\n").into_bytes(),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            202 => "Accepted",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        )
        .into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_taken_when_its_head_is_whole() {
        let whole = b"GET /metrics HTTP/1.1\r\nHost: bennu\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(Request::parse(&whole[..end]), Ok(None), "{end}");
        }
        let request = Request::parse(whole).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/metrics")
        );
    }

    #[test]
    fn what_is_too_long_and_what_is_no_http_is_refused() {
        assert_eq!(Request::parse(&[b'a'; MAX_HEAD + 1]), Err(RequestError::TooLong));
        for text in ["GET\0 / HTTP/1.1\r\n\r\n", "GET / HTTP/9\r\n\r\n"] {
            assert!(matches!(
                Request::parse(text.as_bytes()),
                Err(RequestError::Malformed(_))
            ));
        }
        let fields = "a: b\r\n".repeat(MAX_FIELDS + 1);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert!(matches!(
            Request::parse(many.as_bytes()),
            Err(RequestError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let _any = Request::parse(&bytes);
        }
    }

    #[test]
    fn an_answer_says_its_length() {
        let text = String::from_utf8(Response::json(b"{}".to_vec()).encode()).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}\n"
        );
    }
}
