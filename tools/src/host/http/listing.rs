//! The page that lists a folder.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Entries of a listing; further ones are only counted.
const MAX_ENTRIES: usize = 10_000;

/// All but letters, digits, and what RFC 3986 2.3 leaves unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One line of the page.
struct Entry {
    is_folder: bool,
    name: std::ffi::OsString,
    len: u64,
    modified: Option<std::time::SystemTime>,
}

/// Lists `folder`, which the client knows as `typed`.
pub(super) fn page(folder: &Path, typed: &str) -> io::Result<String> {
    let mut entries = Vec::new();
    let mut omitted = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entries.len() >= MAX_ENTRIES {
            omitted += 1;
            continue;
        }
        // What a symbolic link leads to; the link itself if it leads nowhere.
        let Ok(metadata) = std::fs::metadata(entry.path()).or_else(|_| entry.metadata()) else { continue };
        entries.push(Entry {
            is_folder: metadata.is_dir(),
            name: entry.file_name(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
        });
    }
    entries.sort_by(|a, b| (!a.is_folder, &a.name).cmp(&(!b.is_folder, &b.name)));
    let title = escape(&percent_decode_str(typed).decode_utf8_lossy());
    let mut page = format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n<table>\n"
    );
    if !typed.trim_matches('/').is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &entries {
        entry.write(&mut page);
    }
    page.push_str("</table>\n");
    if omitted > 0 {
        let _ = writeln!(page, "<p>and {omitted} more</p>");
    }
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

impl Entry {
    fn write(&self, page: &mut String) {
        let slash = if self.is_folder { "/" } else { "" };
        let size = if self.is_folder { String::new() } else { self.len.to_string() };
        let modified = self.modified.map(httpdate::fmt_http_date).unwrap_or_default();
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td align=\"right\">{size}</td><td>{modified}</td></tr>",
            percent_encode(self.name.as_bytes(), ENCODED),
            escape(&lossy(&self.name)),
        );
    }
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// The text as HTML shows it, whatever it is.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_no_harm() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(percent_encode("a b/ü?".as_bytes(), ENCODED).to_string(), "a%20b%2F%C3%BC%3F");
    }
}
