//! Causes of ISDN (Q.850), by which IAX2 says why a call ends, and answers of SIP: one table, read in
//! both directions (RFC 3398 §7.2.4.1 and §8.2.6.1), and the Reason header (RFC 3326).

use oneport_wire::CauseCode;

/// Which way an entry of the table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Both,
    /// An answer of SIP that becomes this cause.
    ToCause,
    /// A cause that becomes this answer.
    ToStatus,
}

/// Cause, answer, and in which direction. The first that fits counts.
const TABLE: &[(u8, u16, Way)] = &[
    (1, 404, Way::Both),
    (1, 485, Way::ToCause),
    (1, 604, Way::ToCause),
    (2, 404, Way::ToStatus),
    (3, 404, Way::ToStatus),
    (17, 486, Way::Both),
    (17, 600, Way::ToCause),
    (18, 408, Way::ToStatus),
    (18, 480, Way::ToCause),
    (19, 480, Way::ToStatus),
    (20, 480, Way::ToStatus),
    (21, 403, Way::Both),
    (21, 401, Way::ToCause),
    (21, 402, Way::ToCause),
    (21, 407, Way::ToCause),
    (21, 603, Way::ToCause),
    (22, 410, Way::Both),
    (23, 410, Way::ToStatus),
    (23, 301, Way::ToCause),
    (25, 482, Way::Both),
    (25, 483, Way::ToCause),
    (26, 404, Way::ToStatus),
    (27, 502, Way::Both),
    (28, 484, Way::Both),
    (29, 501, Way::ToStatus),
    (31, 480, Way::ToStatus),
    (34, 503, Way::Both),
    (38, 503, Way::ToStatus),
    (41, 503, Way::ToStatus),
    (41, 409, Way::ToCause),
    (41, 481, Way::ToCause),
    (41, 500, Way::ToCause),
    (42, 503, Way::ToStatus),
    (44, 503, Way::ToStatus),
    (47, 503, Way::ToStatus),
    (55, 403, Way::ToStatus),
    (57, 403, Way::ToStatus),
    (58, 503, Way::ToStatus),
    (58, 488, Way::ToCause),
    (58, 606, Way::ToCause),
    (65, 488, Way::ToStatus),
    (65, 420, Way::ToCause),
    (70, 488, Way::ToStatus),
    (79, 501, Way::Both),
    (79, 405, Way::ToCause),
    (79, 415, Way::ToCause),
    (79, 421, Way::ToCause),
    (79, 505, Way::ToCause),
    (87, 403, Way::ToStatus),
    (88, 503, Way::ToStatus),
    (102, 504, Way::Both),
    (102, 408, Way::ToCause),
    (111, 500, Way::ToStatus),
    (127, 480, Way::ToStatus),
    (127, 400, Way::ToCause),
    (127, 406, Way::ToCause),
    (127, 413, Way::ToCause),
    (127, 414, Way::ToCause),
    (127, 416, Way::ToCause),
    (127, 423, Way::ToCause),
    (127, 513, Way::ToCause),
];

/// The answer to an INVITE whose call ends with this cause before it is answered.
pub(crate) fn status_for(cause: CauseCode) -> u16 {
    let fits = |(code, _, way): &&(u8, u16, Way)| *code == cause.0 && *way != Way::ToCause;
    // RFC 3398 §8.2.6.1 has 480 for a normal release before the answer, and 500 for what is not named.
    let unnamed = if cause.0 == CauseCode::NORMAL_CLEARING.0 { 480 } else { 500 };
    TABLE.iter().find(fits).map_or(unnamed, |(_, status, _)| *status)
}

/// The cause with which a call ends whose INVITE was answered so. A Reason header with a cause of
/// Q.850 says it better ([`cause_in_reason`]).
pub(crate) fn cause_for(status: u16) -> CauseCode {
    let fits = |(_, answer, way): &&(u8, u16, Way)| *answer == status && *way != Way::ToStatus;
    let class = match status {
        // RFC 3398 §7.2.4.1: what is not known is taken for the first of its class.
        300..=399 => CauseCode(23),
        400..=499 => CauseCode::INTERWORKING,
        500..=599 => CauseCode::TEMPORARY_FAILURE,
        600..=699 => CauseCode::REJECTED,
        _ => CauseCode::INTERWORKING,
    };
    TABLE.iter().find(fits).map_or(class, |(cause, ..)| CauseCode(*cause))
}

/// The cause of Q.850 in a Reason header (RFC 3326), such as `Q.850;cause=16;text="Normal"`.
pub(crate) fn cause_in_reason(header: &str) -> Option<CauseCode> {
    header.split(',').find_map(|value| {
        let mut parts = value.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("Q.850") {
            return None;
        }
        let cause = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("cause").then(|| value.trim().parse::<u8>().ok())?
        })?;
        (1..128).contains(&cause).then_some(CauseCode(cause))
    })
}

/// The value of a Reason header for a cause, with words that say more.
pub(crate) fn reason(cause: CauseCode, text: Option<&str>) -> String {
    let text = text.map(|text| {
        // A quoted string (RFC 3261 §25.1), of what needs no escape.
        let plain = |one: &char| !one.is_control() && !matches!(one, '"' | '\\');
        format!(";text=\"{}\"", text.chars().filter(plain).collect::<String>())
    });
    format!("Q.850;cause={}{}", cause.0, text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::could_not_take;

    #[test]
    fn causes_and_answers_that_stand_for_each_other_do_so_both_ways() {
        for (cause, status, way) in TABLE {
            match way {
                Way::Both => {
                    assert_eq!(status_for(CauseCode(*cause)), *status, "cause {cause}");
                    assert_eq!(cause_for(*status), CauseCode(*cause), "{status}");
                }
                Way::ToCause => assert_eq!(cause_for(*status), CauseCode(*cause), "{status}"),
                Way::ToStatus => {
                    assert_eq!(status_for(CauseCode(*cause)), *status, "cause {cause}");
                }
            }
        }
    }

    #[test]
    fn what_a_caller_meets_most_is_said_as_rfc_3398_has_it() {
        for (status, cause) in [
            (404, 1),
            (486, 17),
            (480, 18),
            (603, 21),
            (503, 34),
            (500, 41),
            (408, 102),
            (484, 28),
            (410, 22),
        ] {
            assert_eq!(cause_for(status), CauseCode(cause), "{status}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_taken_for_its_class() {
        assert_eq!(cause_for(499), CauseCode::INTERWORKING);
        assert_eq!(cause_for(599), CauseCode::TEMPORARY_FAILURE);
        assert_eq!(cause_for(699), CauseCode::REJECTED);
        assert_eq!(status_for(CauseCode(99)), 500);
        assert_eq!(status_for(CauseCode::NORMAL_CLEARING), 480);
    }

    #[test]
    fn every_answer_is_one_of_failure() {
        for cause in 0..=255 {
            let status = status_for(CauseCode(cause));
            assert!((400..700).contains(&status), "cause {cause}: {status}");
        }
    }

    #[test]
    fn a_reason_header_is_read_as_others_write_it() {
        for (header, cause) in [
            ("Q.850;cause=16;text=\"Terminated\"", Some(16)),
            ("q.850 ; text=\"x\" ; cause = 34", Some(34)),
            ("SIP;cause=200;text=\"Call completed elsewhere\"", None),
            ("SIP;cause=487, Q.850;cause=26", Some(26)),
            ("Q.850;cause=0", None),
            ("Q.850;cause=900", None),
            ("Q.850", None),
            ("", None),
        ] {
            assert_eq!(cause_in_reason(header), cause.map(CauseCode), "{header}");
        }
        assert_eq!(cause_in_reason(&reason(CauseCode(88), None)), Some(CauseCode(88)));
        let said = reason(CauseCode(42), Some("CPU at \"93\" %, for 2 s\r\n"));
        assert_eq!(said, "Q.850;cause=42;text=\"CPU at 93 %, for 2 s\"");
        assert_eq!(cause_in_reason(&said), Some(CauseCode(42)));
    }

    /// The first line of a cause's section in `docs/causes.md`.
    fn first_line(cause: CauseCode) -> String {
        let fits = |(code, _, way): &&(u8, u16, Way)| *code == cause.0 && *way != Way::ToStatus;
        let read: Vec<_> =
            TABLE.iter().filter(fits).map(|(_, status, _)| status.to_string()).collect();
        let read = match &read[..] {
            [] => String::new(),
            [one] => format!(", and read from {one}"),
            [more @ .., last] => format!(", and read from {} and {last}", more.join(", ")),
        };
        let only = if could_not_take(cause) { "" } else { " with `continue_on` only" };
        format!("*SIP: sent as {}{read}. The next destination is tried{only}.*", status_for(cause))
    }

    #[test]
    fn each_cause_has_its_section_in_the_documentation() {
        let document = include_str!("../../../../docs/causes.md");
        let mut sections = document.split("\n## ").skip(1);
        let named = (1..=127).map(CauseCode).filter(|cause| cause.name() != CauseCode(0x7E).name());
        for cause in named {
            let section = sections.next().unwrap_or_else(|| panic!("{cause} is missing"));
            let mut lines = section.lines().filter(|line| !line.is_empty());
            let heading = format!("{} {}", cause.0, cause.name());
            assert_eq!(lines.next(), Some(heading.as_str()), "headings of docs/causes.md");
            assert_eq!(lines.next(), Some(first_line(cause).as_str()), "{cause}");
            assert!(lines.next().is_some_and(|text| text.starts_with(|c: char| c.is_uppercase())));
        }
        assert_eq!(sections.next(), None, "a cause that has no name");
        let known = |cause: u8| document.contains(&format!("\n## {cause} "));
        assert!(TABLE.iter().all(|(cause, ..)| known(*cause)), "a cause of the table has no name");
    }
}
