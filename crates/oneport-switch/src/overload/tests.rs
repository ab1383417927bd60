use oneport::QuotaUse;
use proptest::prelude::*;

use super::*;

const QUARTER: Duration = Duration::from_millis(250);

const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// A quarter of a second in which the thread used so much of its time.
fn cpu(percent: u32) -> Workload {
    Workload { time: QUARTER, cpu: Some(QUARTER * percent / 100), ..Workload::default() }
}

fn late(by: Duration) -> Workload {
    Workload { late: by, ..cpu(10) }
}

fn dropped(count: u64, time: Duration) -> Workload {
    Workload { overflowed: Some((count, time)), ..cpu(10) }
}

/// A switch with the defaults, and what has happened to it.
struct Story {
    overload: Overload,
    config: OverloadConfig,
    /// Changes, with the number of the sample.
    changes: Vec<(usize, Change)>,
    samples: usize,
}

impl Default for Story {
    fn default() -> Self {
        let overload = Overload::default();
        Self { overload, config: OverloadConfig::default(), changes: Vec::new(), samples: 0 }
    }
}

impl Story {
    fn take(&mut self, count: usize, workload: Workload) -> &mut Self {
        for _ in 0..count {
            if let Some(change) = self.overload.take(&self.config, &workload) {
                self.changes.push((self.samples, change));
            }
            self.samples += 1;
        }
        self
    }

    fn why(&self) -> Option<String> {
        self.overload.finding(&self.config).map(|finding| finding.to_string())
    }
}

#[test]
fn cpu_at_its_mark_for_two_seconds_refuses_and_says_what_was_measured() {
    let mut story = Story::default();
    story.take(40, cpu(89));
    assert_eq!(story.why(), None);
    story.take(7, cpu(93));
    assert_eq!(story.why(), None, "not for long yet");
    story.take(1, cpu(93));
    assert_eq!(story.why().as_deref(), Some("CPU of the media thread at 93 % for 2 s"));
    story.take(8, cpu(93));
    assert_eq!(story.why().as_deref(), Some("CPU of the media thread at 93 % for 4 s"));
    assert_eq!(story.changes.len(), 1, "it is told once");
}

#[test]
fn a_thread_without_any_time_left_does_not_wait_for_two_seconds() {
    let mut story = Story::default();
    story.take(4, cpu(50)).take(4, cpu(100));
    assert_eq!(story.why().as_deref(), Some("CPU of the media thread at 100 % for 1 s"));
}

#[test]
fn a_burst_shorter_than_two_seconds_refuses_nobody() {
    let mut story = Story::default();
    for _ in 0..20 {
        story.take(7, cpu(93)).take(5, cpu(60));
    }
    assert_eq!(story.changes, []);
}

#[test]
fn calls_are_taken_again_once_all_is_clearly_below_for_five_seconds() {
    let mut story = Story::default();
    story.take(12, cpu(94)).take(100, cpu(85));
    let why = story.why().expect("85 % is not clearly below 90 %");
    assert_eq!(why, "CPU of the media thread at 85 %, and not below 81 % for 5 s yet");
    story.overload.refused(Measure::Cpu);
    story.overload.refused(Measure::Cpu);
    story.take(19, cpu(80));
    assert!(story.why().is_some(), "not for five seconds yet");
    story.take(5, cpu(80));
    assert_eq!(story.why(), None);
    assert_eq!(story.changes.last().map(|(_, change)| *change), Some(Change::Taking(2)));
    assert_eq!(story.overload.refused_for(Measure::Cpu), 2);
}

#[test]
fn a_thread_that_comes_late_all_the_time_refuses_and_one_that_does_now_and_then_does_not() {
    let mut story = Story::default();
    for _ in 0..50 {
        story.take(1, late(ms(200))).take(3, late(ms(1)));
    }
    assert_eq!(story.changes, []);
    story.take(8, late(ms(55)));
    let why = story.why().expect("late in each quarter of a second");
    assert_eq!(why, "scheduling delay of the media thread at 55 ms for 2 s");
}

#[test]
fn datagrams_that_the_kernel_drops_are_a_reason_by_their_rate() {
    let mut story = Story::default();
    for _ in 0..5 {
        story.take(3, cpu(10)).take(1, dropped(19, ms(1_000)));
    }
    assert_eq!(story.changes, []);
    story.take(1, dropped(140, ms(1_000))).take(3, cpu(10)).take(1, dropped(140, ms(1_000)));
    let why = story.why().expect("two seconds of it");
    assert_eq!(why, "socket buffer full, 140 datagrams a second dropped for 2 s");
    // A look that is about ten seconds is no ten seconds of it: they may all have come at once.
    let mut story = Story::default();
    story.take(1, dropped(10_000, ms(10_000)));
    assert_eq!(story.why(), None);
}

#[test]
fn a_quota_that_is_used_up_is_named_though_the_thread_itself_is_not_busy() {
    let used = QuotaUse { cpus: 0.5, used: ms(470), time: ms(1_000) };
    let mut story = Story::default();
    for _ in 0..2 {
        story.take(3, cpu(40)).take(1, Workload { quota: Some(used), ..cpu(40) });
    }
    assert_eq!(story.why().as_deref(), Some("CPU quota used to 94 % for 2 s"));
}

#[test]
fn a_machine_that_slept_is_not_overloaded_when_it_wakes() {
    let mut story = Story::default();
    let slept = Workload { time: ms(3_600_000), late: ms(3_500_000), ..cpu(0) };
    story.take(4, cpu(10)).take(1, slept).take(4, cpu(10));
    assert_eq!(story.changes, []);
}

#[test]
fn a_system_that_tells_no_cpu_time_is_judged_by_what_it_tells() {
    let mut story = Story::default();
    let silent = Workload { cpu: None, ..late(ms(1)) };
    story.take(40, silent);
    assert_eq!((story.why(), story.overload.value(Measure::Cpu)), (None, None));
    story.take(8, Workload { late: ms(90), ..silent });
    assert!(story.why().is_some());
    story.take(20, silent);
    assert_eq!(story.why(), None);
}

#[test]
fn switched_off_it_refuses_nobody_and_ends_what_it_has_begun() {
    let mut story = Story::default();
    story.take(20, cpu(99));
    assert!(story.why().is_some());
    story.config.enabled = false;
    story.take(1, cpu(99));
    assert_eq!(story.why(), None);
    story.take(100, cpu(99));
    assert_eq!(story.changes.len(), 2);
}

fn samples() -> impl Strategy<Value = Vec<Workload>> {
    let one = (0_u32..=100, 0_u64..80, prop::option::of(0_u64..60), 250_u64..400).prop_map(
        |(percent, late, dropped, time)| Workload {
            time: ms(time),
            cpu: Some(ms(time) * percent / 100),
            late: ms(late),
            overflowed: dropped.map(|count| (count, ms(time))),
            quota: None,
        },
    );
    // In runs, so that something lasts.
    prop::collection::vec((one, 1_usize..30), 1..30)
        .prop_map(|runs| runs.into_iter().flat_map(|(one, n)| vec![one; n]).collect())
}

proptest! {
    #[test]
    fn what_stays_below_its_marks_refuses_nobody(all in samples()) {
        let mut story = Story::default();
        for mut one in all {
            one.cpu = one.cpu.map(|cpu| cpu.min(one.time * 89 / 100));
            one.late = one.late.min(ms(39));
            one.overflowed = one.overflowed.map(|(count, time)| (count.min(4), time));
            story.take(1, one);
        }
        prop_assert_eq!(story.changes, []);
    }

    #[test]
    fn refusing_begins_and_ends_in_turn_and_lasts_as_long_as_recovery_takes(all in samples()) {
        let mut story = Story::default();
        let mut clock = Duration::ZERO;
        let mut began = None;
        for one in all {
            let before = story.changes.len();
            story.take(1, one);
            clock += one.time;
            match story.changes.get(before) {
                Some((_, Change::Refusing(_))) => {
                    prop_assert!(began.is_none());
                    began = Some(clock);
                }
                Some((_, Change::Taking(_))) => {
                    let since = clock - began.take().expect("it had begun");
                    prop_assert!(since >= story.config.recovery);
                }
                None => {}
            }
            prop_assert_eq!(story.overload.finding(&story.config).is_some(), began.is_some());
        }
    }

    #[test]
    fn whatever_came_before_it_ends_behind_a_while_of_rest(all in samples()) {
        let mut story = Story::default();
        for one in all {
            story.take(1, one);
        }
        for _ in 0..6 {
            story.take(3, cpu(20)).take(1, dropped(0, ms(1_000)));
        }
        prop_assert_eq!(story.why(), None);
    }
}
