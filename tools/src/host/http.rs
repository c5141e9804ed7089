//! A folder over HTTP: GET and HEAD of files, with ranges, and listings.

mod body;
mod files;
mod listing;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ALLOW, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use self::body::Body;
use self::files::Root;
use super::counters::Counters;

/// How long a client may take to say what it wants, on a new connection and on one that is kept.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is served.
#[derive(Clone, Debug)]
pub(super) struct Site {
    root: Arc<Root>,
    counters: Arc<Counters>,
}

impl Site {
    /// Serves what is in `folder`, and nothing outside it.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be read.
    pub(super) fn new(folder: &Path, counters: Arc<Counters>) -> io::Result<Self> {
        Ok(Self { root: Arc::new(Root::new(folder)?), counters })
    }

    /// Serves one connection until one side has enough.
    pub(super) async fn serve<S>(self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let response = self.respond(&request);
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        connection.await.map_err(io::Error::other)
    }

    /// The answer to one request.
    fn respond<B>(&self, request: &Request<B>) -> Response<Body> {
        Counters::add(&self.counters.requests, 1);
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => self.root.respond(request),
            _ => {
                let mut response = Body::message(StatusCode::METHOD_NOT_ALLOWED);
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        };
        let server = HeaderValue::from_static(concat!("ustack/", env!("CARGO_PKG_VERSION")));
        response.headers_mut().insert(SERVER, server);
        if request.method() == Method::HEAD {
            // The headers of GET, and no body.
            response = response.map(|_| Body::empty());
        }
        response
    }
}

#[cfg(test)]
mod tests;
