//! Which trace a call is, and which calls are traced: W3C Trace Context, and shares as OpenTelemetry's
//! consistent probability sampling has them.

use uuid::Uuid;

/// How many of the last bits of a trace's id are random, and decide about shares.
const RANDOM_BITS: u32 = 56;

/// Whose trace a call is part of, as the request that places it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parent {
    pub(super) trace: u128,
    pub(super) span: u64,
    /// Whether the one who asks keeps it.
    pub(super) is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent` (W3C Trace Context §3.2): `00-TRACE-SPAN-FLAGS` in lower-case hexadecimal. Later
    /// versions may have more behind it. What is malformed is no parent.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (head, rest) = text.split_at_checked(55)?;
        let mut fields = head.split('-');
        let mut field = |digits: usize| {
            let field = fields.next().filter(|field| field.len() == digits)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            field.bytes().all(is_hex).then_some(field)
        };
        let version = field(2)?;
        let trace = u128::from_str_radix(field(32)?, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(field(16)?, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(field(2)?, 16).ok()?;
        let is_whole = match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        is_whole.then_some(Self { trace, span, is_sampled: flags & 1 != 0 })
    }
}

/// Whether a call is among those of which one in so many is traced. Whoever asks of the same call, be it
/// another switch, gets the same answer.
pub(super) fn is_chosen(trace: u128, one_in: u64) -> bool {
    let mask = (1_u128 << RANDOM_BITS) - 1;
    let least = (mask + 1) - (mask + 1) / u128::from(one_in.max(1));
    trace & mask >= least
}

/// The span of a whole call. Another switch that the call goes through knows it by the id of the call, which
/// (UUID version 7) ends in random bits and is never 0 there.
pub(super) fn span_of_call(call: Uuid) -> u64 {
    call.as_u64_pair().1
}

/// A span of its own.
pub(super) fn new_span() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let parent = |flags: &str| Parent::read(&format!("00-{trace}-b7ad6b7169203331-{flags}"));
        let kept = Parent {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span: 0xb7ad_6b71_6920_3331,
            is_sampled: true,
        };
        assert_eq!(parent("01"), Some(kept));
        // A flag that is not known yet changes nothing.
        assert_eq!(parent("03"), Some(kept));
        assert_eq!(parent("00"), Some(Parent { is_sampled: false, ..kept }));
        let later = format!("cc-{trace}-b7ad6b7169203331-01-what-comes");
        assert_eq!(Parent::read(&later), Some(kept));
        let zero = "0".repeat(32);
        for wrong in [
            String::new(),
            "00".into(),
            format!("ff-{trace}-b7ad6b7169203331-01"),
            format!("00-{zero}-b7ad6b7169203331-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            format!("00-{trace}-b7ad6b7169203331-0"),
            format!("00-{trace}-b7ad6b7169203331-01-more"),
            format!("cc-{trace}-b7ad6b7169203331-01more"),
            format!("00-{trace}-b7ad6b71692033310-1"),
            format!("00-+{}-b7ad6b7169203331-01", &trace[1..]),
            format!("00-{}ü-b7ad6b7169203331-01", &trace[..31]),
        ] {
            assert_eq!(Parent::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_so_many_calls_one_is_chosen_and_who_chooses_fewer_chooses_among_the_same() {
        let mut random = fastrand::Rng::with_seed(7);
        let traces: Vec<u128> = (0..100_000).map(|_| random.u128(..)).collect();
        let chosen = |one_in: u64| traces.iter().filter(move |trace| is_chosen(**trace, one_in));
        assert_eq!(chosen(1).count(), traces.len());
        assert!((9_500..=10_500).contains(&chosen(10).count()), "{}", chosen(10).count());
        assert!((900..=1_100).contains(&chosen(100).count()), "{}", chosen(100).count());
        assert!(chosen(100).all(|trace| is_chosen(*trace, 10)));
        assert!(chosen(u64::MAX).next().is_none());
    }
}
