//! Bodies of answers: a text, or a part of a file, read as it is sent.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// Bytes of a file that are read at a time.
const CHUNK: u64 = 64 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Text(Option<Bytes>),
    /// So many bytes of the file, from where it stands.
    File {
        file: File,
        left: u64,
    },
}

impl Body {
    pub(super) const fn empty() -> Self {
        Self::Text(None)
    }

    /// An answer of that text.
    pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Self> {
        let len = text.len() as u64;
        let mut response = Response::new(Self::Text(Some(text.into())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        response
    }

    /// An answer that says no more than its status.
    pub(super) fn message(status: StatusCode) -> Response<Self> {
        Self::text(status, "text/plain; charset=utf-8", format!("{status}\n"))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (file, left) = match &mut *self {
            Self::Text(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::File { left: 0, .. } => return Poll::Ready(None),
            Self::File { file, left } => (file, left),
        };
        // A regular file answers at once: no task waits for long.
        let mut chunk = vec![0; CHUNK.min(*left) as usize];
        match file.read(&mut chunk) {
            Ok(0) => {
                *left = 0;
                Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file has become shorter",
                ))))
            }
            Ok(n) => {
                *left -= n as u64;
                chunk.truncate(n);
                Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None) | Self::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.as_ref().map_or(0, Bytes::len) as u64,
            Self::File { left, .. } => *left,
        })
    }
}
