//! Makes a book of the documentation (mdBook), and looks at the links between its pages as browsers do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{peers, root, shown};

pub(crate) fn make() -> Result<(), String> {
    let program = peers::mdbook().map_err(|missing| missing.to_string())?;
    let mut mdbook = Command::new(program);
    mdbook.args(["build", "docs"]).current_dir(root());
    eprintln!("+ {}", shown(&mdbook));
    let done = mdbook.output().map_err(|error| format!("mdbook: {error}"))?;
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    // What it warns of is wrong in the page.
    if !done.status.success() || said.contains("WARN") || said.contains("ERROR") {
        return Err(said);
    }
    let book = root().join("target/book");
    let pages = pages(&book)?;
    let wrong = broken(&book, &pages);
    if !wrong.is_empty() {
        return Err(format!("links of the book that lead nowhere:\n{}", wrong.join("\n")));
    }
    println!("{} pages in target/book/index.html", pages.len());
    Ok(())
}

/// The pages of the book: their names and texts.
fn pages(book: &Path) -> Result<BTreeMap<String, String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", book.display());
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(book).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The page to be printed has all others in it, and that of errors is at no place of its own.
        if name.ends_with(".html") && !["print.html", "404.html"].contains(&name.as_str()) {
            pages.insert(name, fs::read_to_string(&path).map_err(failed)?);
        }
    }
    Ok(pages)
}

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> BTreeSet<&'a str> {
    let beginning = format!(" {attribute}=\"");
    page.split(beginning.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Links to files or headings that are not there.
fn broken(book: &Path, pages: &BTreeMap<String, String>) -> Vec<String> {
    let headings: BTreeMap<_, _> =
        pages.iter().map(|(name, text)| (name.as_str(), values(text, "id"))).collect();
    let mut wrong = Vec::new();
    for (name, text) in pages {
        let links = values(text, "href").into_iter().chain(values(text, "src"));
        for link in links.filter(|link| !link.contains("://") && !link.starts_with("data:")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() { name } else { file };
            let has = |headings: &BTreeSet<&str>| heading.is_empty() || headings.contains(heading);
            let good = headings.get(to).map_or_else(|| book.join(to).exists(), has);
            if !good {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_pages_and_headings_that_are_not_there_are_found() {
        let page = |text: &str| text.to_string();
        let pages = BTreeMap::from([
            (page("a.html"), page("<h1 id=\"top\"><a href=\"b.html#there\"><a href=\"#top\">")),
            (page("b.html"), page("<h2 id=\"there\"><a href=\"a.html#gone\"><a href=\"c.html\">")),
        ]);
        let nowhere = Path::new("/nonexistent");
        assert_eq!(broken(nowhere, &pages), ["b.html: a.html#gone", "b.html: c.html"]);
    }
}
