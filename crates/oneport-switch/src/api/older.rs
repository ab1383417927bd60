//! What older processes of this switch say, beside what the newest knows itself.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Shared;
use super::error::Problem;
use crate::switch::Question;

/// How long an older process may take to answer. One that does not is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers of all older processes, the oldest first, each with what its calls begin behind.
pub(super) async fn ask<T: DeserializeOwned>(
    shared: &Shared,
    question: Question,
) -> Result<Vec<(u64, T)>, Problem> {
    let waits = shared.ask(move |_, switch, _| switch.ask_older(&question)).await?;
    let mut answers = Vec::new();
    for (first, waits) in waits {
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, waits).await else { continue };
        if let Ok(answer) = serde_json::from_value(answer) {
            answers.push((first, answer));
        }
    }
    Ok(answers)
}

/// A page of a list in the order in which things began: some of what is there, how many there are, and where the
/// next page begins.
pub(super) struct Listed<T> {
    pub(super) some: Vec<T>,
    pub(super) total: usize,
    pub(super) next: Option<String>,
}

/// One page of those of all processes, each with what its own begin behind, the oldest first.
pub(super) fn merge<T>(pages: Vec<(u64, Listed<T>)>, limit: usize) -> Listed<T> {
    let mut all = Listed { some: Vec::new(), total: 0, next: None };
    for (first, Listed { some, total, next }) in pages {
        all.total += total;
        if all.next.is_some() {
            continue;
        }
        if all.some.len() >= limit && !some.is_empty() {
            all.next = Some(first.to_string());
            continue;
        }
        let room = limit - all.some.len();
        match some.len() > room {
            // Those left out come on the next page, with all that are behind.
            true => all.next = Some(first.to_string()),
            false => {
                all.some.extend(some);
                all.next = next;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(some: &[u64], total: usize, next: Option<&str>) -> Listed<u64> {
        Listed { some: some.to_vec(), total, next: next.map(Into::into) }
    }

    fn merged(pages: Vec<(u64, Listed<u64>)>, limit: usize) -> (Vec<u64>, usize, Option<String>) {
        let Listed { some, total, next } = merge(pages, limit);
        (some, total, next)
    }

    #[test]
    fn pages_of_several_processes_are_one_that_loses_nothing() {
        let all = || vec![(0, page(&[1, 2], 2, None)), (100, page(&[101, 102], 2, None))];
        assert_eq!(merged(all(), 10), (vec![1, 2, 101, 102], 4, None));
        // What does not fit as a whole is left for the next page.
        assert_eq!(merged(all(), 3), (vec![1, 2], 4, Some("100".into())));
        assert_eq!(merged(all(), 2), (vec![1, 2], 4, Some("100".into())));
        let more = vec![(0, page(&[1, 2], 5, Some("2"))), (100, page(&[101, 102], 2, None))];
        assert_eq!(merged(more, 2), (vec![1, 2], 7, Some("2".into())));
        let empty = vec![(0, page(&[], 0, None)), (100, page(&[101], 1, None))];
        assert_eq!(merged(empty, 1), (vec![101], 1, None));
    }
}
