//! What clients get, asked for in the words that they use.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use http_body_util::BodyExt;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED};

use super::*;

/// A folder with a few files, beside one that nobody may see.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ustack-http-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("site/sub/empty")).unwrap();
        fs::write(path.join("secret.txt"), "secret").unwrap();
        fs::write(path.join("site/digits.txt"), "0123456789").unwrap();
        fs::write(path.join("site/a <b>&c.bin"), [0; 3]).unwrap();
        fs::write(path.join("site/sub/index.html"), "<p>index").unwrap();
        symlink("../secret.txt", path.join("site/way-out")).unwrap();
        symlink("digits.txt", path.join("site/way-in")).unwrap();
        Self(path)
    }

    fn site(&self) -> Site {
        Site::new(&self.0.join("site"), Arc::default()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(&name).map_or("", |value| value.to_str().unwrap())
    }
}

fn ask(site: &Site, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    let response = site.respond(&request.body(()).unwrap());
    let (parts, body) = response.into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&bytes).into(),
    }
}

#[test]
fn gives_files() {
    let folder = Folder::new("files");
    let site = folder.site();
    let answer = ask(&site, "GET", "/digits.txt", &[]);
    assert_eq!((answer.status, answer.body.as_str()), (200, "0123456789"));
    assert_eq!(answer.header(CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(answer.headers["content-length"], "10");
    assert_eq!(answer.headers["accept-ranges"], "bytes");
    assert_eq!(ask(&site, "GET", "/a%20%3Cb%3E&c.bin", &[]).body.len(), 3);
    assert_eq!(ask(&site, "GET", "//./digits.txt?query", &[]).status, 200);
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let folder = Folder::new("head");
    let answer = ask(&folder.site(), "HEAD", "/digits.txt", &[("range", "bytes=0-1")]);
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers["content-length"], "10");
}

#[test]
fn gives_parts_of_files() {
    let folder = Folder::new("parts");
    let site = folder.site();
    let part = |range: &str| {
        let answer = ask(&site, "GET", "/digits.txt", &[("range", range)]);
        (answer.status, answer.body.clone(), answer.header(CONTENT_RANGE).to_string())
    };
    assert_eq!(part("bytes=2-4"), (206, "234".into(), "bytes 2-4/10".into()));
    assert_eq!(part("bytes=7-"), (206, "789".into(), "bytes 7-9/10".into()));
    assert_eq!(part("bytes=-3"), (206, "789".into(), "bytes 7-9/10".into()));
    assert_eq!(part("bytes=8-99"), (206, "89".into(), "bytes 8-9/10".into()));
    let (status, _, range) = part("bytes=10-");
    assert_eq!((status, range.as_str()), (416, "bytes */10"));
    // What is no range is ignored; so are several.
    assert_eq!(part("lines=1-2").0, 200);
    assert_eq!(part("bytes=nonsense").0, 200);
    assert_eq!(part("bytes=0-1,3-4").0, 200);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let folder = Folder::new("conditions");
    let site = folder.site();
    let first = ask(&site, "GET", "/digits.txt", &[]);
    let (tag, date) = (first.header(ETAG), first.header(LAST_MODIFIED));
    let status = |headers: &[(&str, &str)]| ask(&site, "GET", "/digits.txt", headers).status;
    assert_eq!(status(&[("if-none-match", tag)]), 304);
    assert_eq!(status(&[("if-none-match", "\"another\""), ("if-modified-since", date)]), 200);
    assert_eq!(status(&[("if-modified-since", date)]), 304);
    assert_eq!(status(&[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")]), 200);
    assert_eq!(status(&[("range", "bytes=0-1"), ("if-range", tag)]), 206);
    assert_eq!(status(&[("range", "bytes=0-1"), ("if-range", "\"another\"")]), 200);
}

#[test]
fn lists_folders() {
    let folder = Folder::new("lists");
    let site = folder.site();
    let answer = ask(&site, "GET", "/", &[]);
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains(r#"<a href="./a%20%3Cb%3E%26c.bin">a &lt;b&gt;&amp;c.bin</a>"#),
        "{}",
        answer.body
    );
    assert!(answer.body.contains(r#"<a href="./sub/">sub/</a>"#));
    assert!(!answer.body.contains("../"), "the root has no parent");
    assert!(ask(&site, "GET", "/sub/empty/", &[]).body.contains("../"));
    assert_eq!(ask(&site, "GET", "/sub/", &[]).body, "<p>index");
}

#[test]
fn a_folder_without_its_slash_is_moved_and_never_elsewhere() {
    let folder = Folder::new("slash");
    let site = folder.site();
    let answer = ask(&site, "GET", "/sub", &[]);
    assert_eq!((answer.status, &answer.headers["location"]), (301, &"/sub/".parse().unwrap()));
    assert_eq!(ask(&site, "GET", "//sub", &[]).headers["location"], "/sub/");
    assert_eq!(ask(&site, "GET", "/digits.txt/", &[]).status, 404);
}

#[test]
fn nothing_outside_is_given() {
    let folder = Folder::new("outside");
    let site = folder.site();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/%2E./%2e./secret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/way-out",
        "/nowhere",
        "/digits.txt%00",
        "/%2fetc/passwd",
        "/digits.txt/more",
    ] {
        assert_eq!(ask(&site, "GET", path, &[]).status, 404, "{path}");
    }
    assert_eq!(ask(&site, "GET", "/way-in", &[]).body, "0123456789");
    let long = format!("/{}", "x".repeat(5000));
    assert_eq!(ask(&site, "GET", &long, &[]).status, 404);
}

#[test]
fn other_methods_are_refused() {
    let folder = Folder::new("methods");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = ask(&folder.site(), method, "/", &[]);
        assert_eq!((answer.status, &answer.headers["allow"]), (405, &"GET, HEAD".parse().unwrap()));
    }
}

#[tokio::test]
async fn speaks_http_over_any_stream() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = Folder::new("stream");
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(folder.site().serve(server));
    let request = b"GET /digits.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=0-2\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 206 Partial Content\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n012"), "{answer}");
    serving.await.unwrap().unwrap();
}
