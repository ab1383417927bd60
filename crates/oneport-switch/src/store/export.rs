//! Call detail records as a table of text, or as objects.

use std::io::{self, Write};

use csv::WriterBuilder;

use super::{CdrFilter, Order, Paging, Store, StoreError};
use crate::cdr::Cdr;

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180) with a line of names first.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Records could not be exported.
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

/// Writes records as CSV, behind a line of names if it is the beginning of a table.
pub(crate) fn write_table(out: &mut Vec<u8>, heading: bool, records: &[Cdr]) -> io::Result<()> {
    let mut table = WriterBuilder::new().from_writer(out);
    if heading {
        table.write_record(COLUMNS).map_err(io::Error::other)?;
    }
    for cdr in records {
        table.write_record(values(cdr)).map_err(io::Error::other)?;
    }
    table.flush()
}

/// The columns of a table, as docs/cdr.md describes them.
pub const COLUMNS: [&str; 69] = [
    "call",
    "leg",
    "direction",
    "peer",
    "address",
    "calling_number",
    "calling_name",
    "called_number",
    "dnid",
    "rdnis",
    "route",
    "destination",
    "start",
    "answer",
    "end",
    "duration_ms",
    "billable_ms",
    "billable_seconds",
    "reason",
    "cause",
    "cause_text",
    "hung_up_by",
    "codec",
    "encrypted",
    "trunk",
    "limit",
    "account_code",
    "frames",
    "bytes",
    "lost",
    "late",
    "out_of_order",
    "duplicates",
    "jitter_us",
    "sent_frames",
    "sent_bytes",
    "send_drops",
    "retransmissions",
    "rtt_us",
    "remote_frames",
    "remote_lost",
    "remote_dropped",
    "remote_out_of_order",
    "remote_jitter_ms",
    "remote_delay_ms",
    "agreement",
    "frame_ms",
    "late_p50_us",
    "late_p95_us",
    "late_p99_us",
    "late_max_us",
    "bursts",
    "burst_ms",
    "gap_ms",
    "burst_loss_percent",
    "gap_loss_percent",
    "burst_ratio",
    "clock_ppm",
    "lag_us",
    "lag_least_us",
    "lag_greatest_us",
    "lag_here_us",
    "lag_there_us",
    "rating",
    "mos",
    "remote_rating",
    "remote_mos",
    "causes",
    "diagnosis",
];

fn values(cdr: &Cdr) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let quality = &cdr.quality;
    let remote = |figure: fn(&crate::cdr::RemoteQuality) -> u32| {
        quality.remote.as_ref().map(|remote| figure(remote).to_string()).unwrap_or_default()
    };
    let mut values = vec![
        cdr.call.to_string(),
        cdr.leg.to_string(),
        cdr.direction.to_string(),
        text(&cdr.peer),
        cdr.address.clone(),
        text(&cdr.calling_number),
        text(&cdr.calling_name),
        cdr.called_number.clone(),
        text(&cdr.dnid),
        text(&cdr.rdnis),
        text(&cdr.route),
        text(&cdr.destination),
        cdr.start.to_string(),
        cdr.answer.map(|answer| answer.to_string()).unwrap_or_default(),
        cdr.end.to_string(),
        cdr.duration_ms.to_string(),
        cdr.billable_ms.to_string(),
        cdr.billable_seconds().to_string(),
        cdr.reason.clone(),
        cdr.cause.to_string(),
        text(&cdr.cause_text),
        cdr.hung_up_by.to_string(),
        text(&cdr.codec),
        cdr.encrypted.to_string(),
        cdr.trunk.to_string(),
        text(&cdr.limit),
        text(&cdr.account_code),
    ];
    let counts = [
        quality.frames,
        quality.bytes,
        quality.lost,
        quality.late,
        quality.out_of_order,
        quality.duplicates,
        quality.jitter_us,
        quality.sent_frames,
        quality.sent_bytes,
        quality.send_drops,
        quality.retransmissions,
    ];
    values.extend(counts.map(|count| count.to_string()));
    values.push(or_empty(quality.rtt_us));
    values.extend([
        remote(|remote| remote.frames),
        remote(|remote| remote.lost),
        remote(|remote| remote.dropped),
        remote(|remote| remote.out_of_order),
        remote(|remote| remote.jitter_ms),
        remote(|remote| remote.delay_ms),
        quality.agreement.clone(),
    ]);
    let spread = [
        quality.frame_ms,
        quality.late_p50_us,
        quality.late_p95_us,
        quality.late_p99_us,
        quality.late_max_us,
        quality.bursts,
        quality.burst_ms,
        quality.gap_ms,
    ];
    values.extend(spread.map(|figure| figure.to_string()));
    let shares = [quality.burst_loss_percent, quality.gap_loss_percent, quality.burst_ratio];
    values.extend(shares.map(|share| share.to_string()));
    values.push(or_empty(quality.clock_ppm));
    let lags = [
        quality.lag_us,
        quality.lag_least_us,
        quality.lag_greatest_us,
        quality.lag_here_us,
        quality.lag_there_us,
    ];
    values.extend(lags.map(or_empty));
    let scores = [quality.rating, quality.mos, quality.remote_rating, quality.remote_mos];
    values.extend(scores.map(or_empty));
    values.extend([text(&quality.causes), text(&quality.diagnosis)]);
    values
}

fn or_empty(figure: Option<impl ToString>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described() {
        let document = include_str!("../../../../docs/cdr.md");
        for column in COLUMNS {
            assert!(document.contains(&format!("`{column}`")), "{column} is not described");
        }
    }
}
