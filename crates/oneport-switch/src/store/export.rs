//! Call detail records as a table of text, or as objects.

use std::io::{self, Write};

use csv::WriterBuilder;

use super::columns::{COLUMNS, Value};
use super::{CdrFilter, Order, Paging, Store, StoreError};
use crate::cdr::Cdr;

/// How records are written.
///
/// ```
/// use oneport_switch::store::{CdrFilter, ExportFormat, Record, SqliteStore, Store, export};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// store.write(&[Record::Cdr(Box::new(cdr()))]).await?;
/// let mut out = Vec::new();
/// let count = export(&store, &CdrFilter::default(), ExportFormat::Csv, &mut out).await?;
/// // The names of the columns, and one record.
/// assert_eq!((count, String::from_utf8(out)?.lines().count()), (1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180) with a line of names first.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Records could not be exported.
///
/// ```
/// use oneport_switch::store::{CdrFilter, ExportError, ExportFormat, SqliteStore, export};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// // No byte fits in.
/// let mut full = std::io::Cursor::new([0; 0]);
/// let result = export(&store, &CdrFilter::default(), ExportFormat::Csv, &mut full).await;
/// assert!(matches!(result, Err(ExportError::Write(_))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// They could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Writes all records of `filter` to `out`, the oldest first, and says how many it were. It reads a
/// page at a time.
///
/// # Errors
/// They cannot be read or written.
pub async fn export(
    store: &dyn Store,
    filter: &CdrFilter,
    format: ExportFormat,
    out: &mut (dyn Write + Send),
) -> Result<u64, ExportError> {
    let mut paging = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
    let mut count = 0;
    let mut page = store.cdrs(filter, paging).await?;
    let mut text = Vec::new();
    loop {
        text.clear();
        match format {
            ExportFormat::Csv => write_table(&mut text, count == 0, &page.records)?,
            ExportFormat::Json => {
                for cdr in &page.records {
                    serde_json::to_writer(&mut text, cdr).map_err(io::Error::from)?;
                    text.push(b'\n');
                }
            }
        }
        out.write_all(&text)?;
        count += page.records.len() as u64;
        paging.after = page.next;
        if page.next.is_none() {
            out.flush()?;
            return Ok(count);
        }
        page = store.cdrs(filter, paging).await?;
    }
}

/// What stands in a cell. Names, numbers and causes are what callers write, and a spreadsheet would carry
/// out what looks like a formula; behind an apostrophe it is text. Numbers with a plus stay as they are.
fn cell(value: Value) -> String {
    let text = value.to_string();
    let is_formula = match text.as_bytes() {
        [b'=' | b'@' | b'\t' | b'\r', ..] => true,
        [b'+' | b'-', rest @ ..] => !rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    match value {
        Value::Text(text) if is_formula => format!("'{text}"),
        _ => text,
    }
}

/// Writes records as CSV, behind a line of names if it is the beginning of a table.
pub(crate) fn write_table(out: &mut Vec<u8>, heading: bool, records: &[Cdr]) -> io::Result<()> {
    let mut table = WriterBuilder::new().from_writer(out);
    if heading {
        table.write_record(column_names()).map_err(io::Error::other)?;
    }
    for cdr in records {
        let values = COLUMNS.iter().map(|column| cell((column.get)(cdr)));
        table.write_record(values).map_err(io::Error::other)?;
    }
    table.flush()
}

/// The names of a table's columns, as docs/cdr.md describes them.
pub fn column_names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_writes_is_no_formula_in_a_spreadsheet() {
        let written = |text: &str| cell(Value::Text(text.into()));
        for formula in ["=HYPERLINK(\"//x\")", "@SUM(1)", "+1+cmd|'x'!A", "-1-1", "\t=1", "\r=1"] {
            assert_eq!(written(formula), format!("'{formula}"));
        }
        for plain in ["", "+4930123", "-5", "12=3", "Ann"] {
            assert_eq!(written(plain), plain);
        }
        assert_eq!(cell(Value::Real(-0.5)), "-0.5");
    }
}
