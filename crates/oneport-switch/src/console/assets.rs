//! The files of the console, as they are in the binary. They are plain modules of JavaScript: nothing makes
//! them, and they load nothing from elsewhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// What a page of the console may load, and from where: its own files alone, none of it inline (CSP Level 3).
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                 connect-src 'self'; base-uri 'none'; form-action 'none'; \
                                 frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("web/", $name)))),*]
    };
}

/// All of them, by their paths behind `/console/`. Each screen is one file.
static FILES: &[(&str, &[u8])] = &files![
    "actions.js"
    "api.js"
    "app.js"
    "console.css"
    "format.js"
    "icon.svg"
    "index.html"
    "lib/LICENSE-htm"
    "lib/LICENSE-preact"
    "lib/preact.js"
    "listening.js"
    "live.js"
    "parts.js"
    "polls.js"
    "screens/call.js"
    "screens/calls.js"
    "screens/carriers.js"
    "screens/configuration.js"
    "screens/log.js"
    "screens/login.js"
    "screens/overview.js"
    "screens/password.js"
    "screens/peer.js"
    "screens/peers.js"
    "screens/radio.js"
    "screens/records.js"
    "screens/refusals.js"
    "screens/routes.js"
    "screens/users.js"
    "theme.js"
];

/// One of them.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) body: &'static [u8],
    pub(crate) kind: &'static str,
    /// Its entity tag, quotes included: it changes with the content.
    pub(crate) tag: String,
}

static ASSETS: LazyLock<BTreeMap<&'static str, Asset>> = LazyLock::new(|| {
    let asset = |(name, body): &(&'static str, &'static [u8])| {
        let digest = Sha256::digest(body);
        let tag: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        (*name, Asset { body, kind: kind(name), tag: format!("\"{tag}\"") })
    };
    FILES.iter().map(asset).collect()
});

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// The file of a path behind `/console/`; that of the empty path is the page itself.
pub(crate) fn asset(path: &str) -> Option<&'static Asset> {
    let path = if path.is_empty() { "index.html" } else { path };
    ASSETS.get(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn names(directory: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).expect("readable").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => names(&path, root, found),
                false => {
                    let name = path.strip_prefix(root).expect("below it");
                    found.push(name.to_string_lossy().into_owned());
                }
            }
        }
    }

    #[test]
    fn every_file_of_the_directory_is_served_and_each_has_a_kind() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/web"));
        let mut found = Vec::new();
        names(root, root, &mut found);
        found.sort();
        let served: Vec<&str> = ASSETS.keys().copied().collect();
        assert_eq!(served, found);
        let licences =
            found.iter().filter(|name| asset(name).expect("served").kind.contains("plain"));
        assert!(licences.into_iter().all(|name| name.contains("LICENSE")));
    }

    #[test]
    fn the_page_and_all_that_it_may_load_is_below_300_kb() {
        let all: usize = FILES.iter().map(|(_, body)| body.len()).sum();
        assert!(all < 300_000, "{all} bytes");
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for (name, body) in FILES.iter().filter(|(name, _)| !name.contains("LICENSE")) {
            let text = std::str::from_utf8(body).expect("text");
            let text = text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML") || *name == "lib/preact.js", "{name}");
        }
        let page = std::str::from_utf8(asset("").expect("it is there").body).expect("text");
        let inline = page.match_indices("<script").any(|(at, _)| {
            !page[at..].starts_with("<script src=")
                && !page[at..].starts_with("<script type=\"module\" src=")
        });
        assert!(
            !inline
                && !page.contains("<style")
                && !page.contains(" style=")
                && !page.contains(" on")
        );
    }
}
