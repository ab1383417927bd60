use super::*;

const QUARTER: Duration = Duration::from_millis(250);

/// A switch whose calls cost a frame 2 µs and a datagram 3 µs each.
#[derive(Default)]
struct Machine {
    meter: Meter,
    counts: Counts,
}

/// A call by mini frames on both legs.
const MINI: Work = Work { frames: 100.0, datagrams: 100.0, begun: 0.0 };

impl Machine {
    /// So many calls are up for so many seconds; transcoding takes so many ms of each.
    fn runs(&mut self, seconds: u32, calls: u32, transcoding: u32) {
        for _ in 0..seconds * 4 {
            let each = u64::from(calls) * 25;
            self.counts.frames += each;
            self.counts.datagrams += each;
            let transcoding = Duration::from_millis(transcoding.into()) / 4;
            self.counts.transcoding += transcoding;
            let relaying = Duration::from_micros(each * 5);
            self.meter.take(QUARTER, relaying + transcoding, self.counts);
        }
    }
}

#[test]
fn what_a_call_costs_is_told_when_enough_was_measured_and_why_not_before() {
    let mut machine = Machine::default();
    let cost = |machine: &Machine, calls| machine.meter.cost(calls, MINI, 0.0);
    machine.runs(20, 0, 0);
    assert_eq!(
        cost(&machine, 2),
        Err("2 calls with media are up; what one costs is measured with 5 or more".into())
    );
    machine.runs(10, 100, 0);
    assert_eq!(cost(&machine, 100), Err("calls are measured for 15 s first".into()));
    machine.runs(20, 100, 0);
    let told = cost(&machine, 100).expect("measured");
    assert!((told.share - 500e-6).abs() < 25e-6, "{told:?}");
    let last = machine.meter.last().expect("a window");
    assert!((last.share - 0.05).abs() < 1e-3 && (last.work.frames - 10_000.0).abs() < 1.0);
}

#[test]
fn calls_that_need_next_to_nothing_are_not_extrapolated() {
    let mut machine = Machine::default();
    machine.runs(5, 0, 0);
    machine.runs(40, 1, 0);
    let why = machine.meter.cost(5, MINI, 0.0).expect_err("lost in what the thread needs idle");
    assert_eq!(why, "the calls need too little of the CPU yet to tell what one costs");
}

#[test]
fn transcoding_is_no_part_of_the_cost_of_frames_and_is_added_where_a_call_has_it() {
    let mut machine = Machine::default();
    machine.runs(40, 100, 300);
    let last = machine.meter.last().expect("a window");
    assert!((last.transcoding - 0.3).abs() < 1e-3, "{last:?}");
    let plain = machine.meter.cost(100, MINI, 0.0).expect("measured");
    assert!((plain.share - 500e-6).abs() < 50e-6, "{plain:?}");
    let transcoded = machine.meter.cost(100, MINI, 0.01).expect("measured");
    assert!((transcoded.share - plain.share - 0.01).abs() < 1e-9);
}

const COST: Cost = Cost { share: 500e-6, error: 10e-6 };

#[test]
fn without_other_bounds_the_cpu_is_one() {
    let told = forecast(COST, 0.05, 0.9, []);
    assert_eq!((told.calls, &told.bound), (1_700, &Bound::Cpu));
    assert!(told.at_least > 1_600 && told.at_least < 1_700 && told.at_most > 1_700, "{told:?}");
    assert_eq!(about(told.calls), "1,700");
}

#[test]
fn the_tightest_bound_is_the_one() {
    let limit = || (Bound::Limit("acme".into()), 40);
    let told = forecast(COST, 0.05, 0.9, [(Bound::Engine, 500), limit()]);
    assert_eq!((told.calls, told.at_least, told.at_most), (40, 40, 40));
    assert_eq!(
        (told.bound.name(), told.bound.to_string()),
        ("limit", "bound by limit acme".into())
    );
    // Where the CPU allows about as many, it may be fewer.
    let told = forecast(COST, 0.88, 0.9, [limit()]);
    assert_eq!((told.calls, told.at_least, told.bound), (40, 38, Bound::Cpu));
}

#[test]
fn past_the_mark_none_fits() {
    let told = forecast(COST, 0.95, 0.9, [(Bound::Engine, 500)]);
    assert_eq!((told.calls, told.at_least, told.at_most, told.bound), (0, 0, 0, Bound::Cpu));
}

#[test]
fn counts_are_told_with_two_digits() {
    let told = [0, 7, 43, 198, 1_949, 12_345, 1_234_567].map(about);
    assert_eq!(told, ["0", "7", "43", "190", "1,900", "12,000", "1,200,000"]);
}

#[test]
fn in_proportion_twice_the_calls_use_twice_as_much() {
    assert_eq!(in_proportion(100, 0.3, 0.9), 200);
    assert_eq!(in_proportion(100, 0.95, 0.9), 0);
    assert_eq!(in_proportion(0, 0.0, 0.9), 0);
}
