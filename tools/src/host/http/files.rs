//! From a request's path to a file of the folder, and the answer that carries it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::Body;
use super::listing;

/// What stands for a folder that has it.
const INDEX: &str = "index.html";

/// The folder that is served.
#[derive(Debug)]
pub(super) struct Root {
    /// Absolute, without symbolic links.
    path: PathBuf,
}

/// Why there is no file to send.
struct Refusal(StatusCode);

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }
}

impl Root {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.canonicalize()?;
        // Tells now, and not to the first client, if it is no folder.
        std::fs::read_dir(&path)?;
        Ok(Self { path })
    }

    /// The answer to a GET (or HEAD, whose body the caller leaves out).
    pub(super) fn respond<B>(&self, request: &Request<B>) -> Response<Body> {
        self.try_respond(request).unwrap_or_else(|Refusal(status)| Body::message(status))
    }

    fn try_respond<B>(&self, request: &Request<B>) -> Result<Response<Body>, Refusal> {
        let typed = request.uri().path();
        let path = self.find(typed)?;
        if !path.is_dir() {
            if typed.ends_with('/') {
                return Err(Refusal(StatusCode::NOT_FOUND));
            }
            return send(&path, request);
        }
        if !typed.ends_with('/') {
            return Ok(with_slash(typed));
        }
        match self.find(&format!("{typed}{INDEX}")) {
            Ok(index) if index.is_file() => send(&index, request),
            _ => {
                let page = listing::page(&path, typed)?;
                Ok(Body::text(StatusCode::OK, "text/html; charset=utf-8", page))
            }
        }
    }

    /// The file or folder that a path of a URI names. Nothing outside the root is ever named: not by `..`, encoded or
    /// not, and not by a symbolic link.
    fn find(&self, typed: &str) -> Result<PathBuf, Refusal> {
        let not_found = Refusal(StatusCode::NOT_FOUND);
        let mut path = self.path.clone();
        for segment in typed.split('/') {
            let segment: Vec<u8> = percent_decode_str(segment).collect();
            match segment.as_slice() {
                b"" | b"." => {}
                b".." => return Err(not_found),
                bytes if bytes.contains(&b'/') || bytes.contains(&0) => return Err(not_found),
                bytes => path.push(OsStr::from_bytes(bytes)),
            }
        }
        let path = path.canonicalize()?;
        if path.starts_with(&self.path) { Ok(path) } else { Err(not_found) }
    }
}

/// Relative links of a listing only work below a path that ends with a slash.
fn with_slash(typed: &str) -> Response<Body> {
    // `//host` would lead to another host.
    let location = format!("/{}/", typed.trim_matches('/'));
    let mut response = Body::message(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The answer that carries a file, or the part that was asked for.
fn send<B>(path: &Path, request: &Request<B>) -> Result<Response<Body>, Refusal> {
    // Looked at before it is opened: a pipe would keep us until somebody writes.
    if !path.metadata()?.is_file() {
        return Err(Refusal(StatusCode::FORBIDDEN));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let version = Version::of(&metadata);
    let len = metadata.len();
    let headers = request.headers();
    if version.is_known_to(headers) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        version.announce(response.headers_mut());
        return Ok(response);
    }
    // RFC 9110 14.2: a range is for GET alone.
    let wanted = match (request.method(), headers.get(RANGE)) {
        (&Method::GET, Some(range)) if version.is_meant_by(headers.get(IF_RANGE)) => part(range, len),
        _ => Wanted::All,
    };
    let mut response = match wanted {
        Wanted::All => Response::new(Body::File { file, left: len }),
        Wanted::Part(range) => file_part(file, &range, len)?,
        Wanted::Nothing => {
            let mut response = Body::message(StatusCode::RANGE_NOT_SATISFIABLE);
            insert(response.headers_mut(), CONTENT_RANGE, format!("bytes */{len}"));
            return Ok(response);
        }
    };
    let left = hyper::body::Body::size_hint(response.body()).exact().unwrap_or(0);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(left));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(headers, CONTENT_TYPE, content_type(path));
    version.announce(headers);
    Ok(response)
}

fn file_part(mut file: File, range: &RangeInclusive<u64>, len: u64) -> io::Result<Response<Body>> {
    file.seek(SeekFrom::Start(*range.start()))?;
    let mut response = Response::new(Body::File { file, left: range.end() - range.start() + 1 });
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let text = format!("bytes {}-{}/{len}", range.start(), range.end());
    insert(response.headers_mut(), CONTENT_RANGE, text);
    Ok(response)
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(RangeInclusive<u64>),
    /// Nothing that there is.
    Nothing,
}

fn part(header: &HeaderValue, len: u64) -> Wanted {
    // RFC 9110 14.2: what is no range, or of another unit, is ignored; and so may be several ranges at once.
    let parsed = header.to_str().ok().and_then(|text| http_range_header::parse_range_header(text).ok());
    match parsed {
        Some(parsed) if parsed.ranges.len() == 1 => match parsed.validate(len) {
            Ok(ranges) => ranges.into_iter().next().map_or(Wanted::All, Wanted::Part),
            Err(_) => Wanted::Nothing,
        },
        _ => Wanted::All,
    }
}

/// Which state of a file it is.
struct Version {
    modified: Option<SystemTime>,
    tag: String,
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().map(whole_seconds);
        let tag = format!("\"{:x}-{:x}-{:x}\"", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        Self { modified, tag }
    }

    fn announce(&self, headers: &mut HeaderMap) {
        insert(headers, ETAG, self.tag.clone());
        if let Some(modified) = self.modified {
            insert(headers, LAST_MODIFIED, httpdate::fmt_http_date(modified));
        }
    }

    /// Whether the client has it already (RFC 9110 13.2.2: the tag counts before the date).
    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        if let Some(tags) = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()) {
            return tags.trim() == "*"
                || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        match (since.and_then(|since| httpdate::parse_http_date(since).ok()), self.modified) {
            (Some(since), Some(modified)) => modified <= since,
            _ => false,
        }
    }

    /// Whether a range is of this version (RFC 9110 13.1.5).
    fn is_meant_by(&self, if_range: Option<&HeaderValue>) -> bool {
        let Some(if_range) = if_range else { return true };
        let Ok(text) = if_range.to_str() else { return false };
        let date = httpdate::parse_http_date(text).ok();
        text == self.tag || (date.is_some() && date == self.modified)
    }
}

/// HTTP dates have no fractions.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    if guess.type_() == "text" { format!("{guess}; charset=utf-8") } else { guess.to_string() }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
