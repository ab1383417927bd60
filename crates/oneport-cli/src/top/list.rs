//! A list that is searched, filtered, sorted and gone through. Either all of it is here, or the switch has
//! it and hands out the part that is seen.

use std::cmp::Ordering;
use std::ops::Range;

use oneport_switch::api::model::CallSort;

/// How something is meant, for colours; words say the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// It is well.
    Good,
    /// It deserves a look.
    Fair,
    /// It is not well.
    Bad,
    /// It goes on.
    Busy,
    /// It matters less.
    Quiet,
}

/// A field of a row.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// What it is sorted by; else by its text.
    number: Option<f64>,
    /// How full it is, which a bar before the text shows.
    pub(crate) share: Option<f64>,
    /// There is nothing in it, which comes last whichever way it is sorted.
    unknown: bool,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn number(number: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), number: Some(number), ..Self::default() }
    }

    pub(crate) fn count(number: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
        Self::number(number as f64, crate::top::words::count(number))
    }

    /// What is not known.
    pub(crate) fn unknown() -> Self {
        Self { text: "-".into(), tone: Tone::Quiet, unknown: true, ..Self::default() }
    }

    /// How full something is, and the same in figures.
    pub(crate) fn bar(share: f64, text: impl Into<String>) -> Self {
        Self { share: Some(share), ..Self::number(share, text) }
    }

    /// A number where it is known.
    pub(crate) fn known(number: Option<f64>, text: impl Fn(f64) -> String) -> Self {
        number.map_or_else(Self::unknown, |number| Self::number(number, text(number)))
    }

    /// A text where it is known.
    pub(crate) fn said(text: Option<&str>) -> Self {
        text.map_or_else(Self::unknown, Self::text)
    }

    pub(crate) const fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    fn order(&self, other: &Self, reversed: bool) -> Ordering {
        let order = match (self.unknown, other.unknown) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => match (self.number, other.number) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => self.text.to_lowercase().cmp(&other.text.to_lowercase()),
            },
        };
        if reversed { order.reverse() } else { order }
    }
}

/// A row.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Item {
    /// By which it is the same from one look to the next.
    pub(crate) key: String,
    pub(crate) cells: Vec<Cell>,
    /// The call it is about.
    pub(crate) call: Option<String>,
    /// What is said of it where it is chosen.
    pub(crate) remark: Option<String>,
    /// Names of the filters that it passes.
    pub(crate) kinds: Vec<&'static str>,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) width: u16,
    /// Whether it takes what room is left.
    pub(crate) grows: bool,
    pub(crate) right: bool,
    /// How many columns a terminal must have for it.
    pub(crate) from: u16,
    /// What the switch calls it, where the switch sorts.
    pub(crate) sort: Option<CallSort>,
}

impl Column {
    pub(crate) const fn left(heading: &'static str, width: u16) -> Self {
        Self { heading, width, grows: false, right: false, from: 0, sort: None }
    }

    pub(crate) const fn right(heading: &'static str, width: u16) -> Self {
        Self { right: true, ..Self::left(heading, width) }
    }

    pub(crate) const fn grows(self) -> Self {
        Self { grows: true, ..self }
    }

    pub(crate) const fn from(self, from: u16) -> Self {
        Self { from, ..self }
    }

    pub(crate) const fn by(self, sort: CallSort) -> Self {
        Self { sort: Some(sort), ..self }
    }
}

/// A step through a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    First,
    Last,
}

impl Step {
    /// Where it leads from `at`, in a list of so many of which so many are seen.
    pub(crate) fn from(self, at: usize, total: usize, seen: usize) -> usize {
        let last = total.saturating_sub(1);
        let (half, page) = ((seen / 2).max(1), seen.max(1));
        let to = match self {
            Self::Up => at.saturating_sub(1),
            Self::Down => at + 1,
            Self::HalfUp => at.saturating_sub(half),
            Self::HalfDown => at + half,
            Self::PageUp => at.saturating_sub(page),
            Self::PageDown => at + page,
            Self::First => 0,
            Self::Last => last,
        };
        to.min(last)
    }
}

/// The list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) columns: &'static [Column],
    /// Names of filters; the first lets all pass.
    pub(crate) filters: &'static [&'static str],
    pub(crate) sort: usize,
    pub(crate) reversed: bool,
    pub(crate) search: String,
    pub(crate) filter: usize,
    /// Whether the switch searches, filters and sorts.
    pub(crate) remote: bool,
    /// Whether anything is known of it yet.
    pub(crate) known: bool,
    /// How many there are of which these are those that fit.
    pub(crate) all: usize,
    /// Whether the switch is to say again what fits.
    stale: bool,
    everything: Vec<Item>,
    rows: Vec<Item>,
    /// The place of the first of `rows`.
    offset: usize,
    total: usize,
    cursor: usize,
    top: usize,
    height: usize,
}

impl List {
    pub(crate) fn new(
        columns: &'static [Column],
        filters: &'static [&'static str],
        sort: usize,
        reversed: bool,
        remote: bool,
    ) -> Self {
        Self {
            columns,
            filters,
            sort,
            reversed,
            search: String::new(),
            filter: 0,
            remote,
            known: false,
            all: 0,
            stale: false,
            everything: Vec::new(),
            rows: Vec::new(),
            offset: 0,
            total: 0,
            cursor: 0,
            top: 0,
            height: 1,
        }
    }

    /// How many fit what is searched for.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    pub(crate) const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Places of the rows that are seen.
    pub(crate) fn seen(&self) -> Range<usize> {
        self.top..(self.top + self.height).min(self.total)
    }

    /// The row at a place; `None`: it is not here yet.
    pub(crate) fn row(&self, place: usize) -> Option<&Item> {
        self.rows.get(place.checked_sub(self.offset)?)
    }

    /// Rows of all of it that fit, in their order, as far as they are here.
    pub(crate) fn rows(&self) -> &[Item] {
        &self.rows
    }

    pub(crate) fn chosen(&self) -> Option<&Item> {
        self.row(self.cursor)
    }

    /// Whether all that is seen is here.
    pub(crate) fn is_here(&self) -> bool {
        self.known && !self.stale && self.seen().all(|place| self.row(place).is_some())
    }

    /// All of it, of a list that is here.
    pub(crate) fn fill(&mut self, items: Vec<Item>) {
        self.everything = items;
        self.arrange();
    }

    /// One more, at the front; the list has `most` at most.
    pub(crate) fn push(&mut self, item: Item, most: usize) {
        self.everything.insert(0, item);
        self.everything.truncate(most);
        self.arrange();
    }

    /// A part of a list that the switch has.
    pub(crate) fn take(&mut self, rows: Vec<Item>, offset: usize, total: usize, all: usize) {
        (self.all, self.stale) = (all, false);
        self.place(rows, offset, total);
    }

    fn place(&mut self, rows: Vec<Item>, offset: usize, total: usize) {
        let chosen = self.chosen().map(|item| item.key.clone());
        (self.rows, self.offset, self.total, self.known) = (rows, offset, total, true);
        // Whoever looks at the first goes on to do so; whoever has gone down stays with what was chosen.
        if self.cursor > 0
            && let Some(chosen) = chosen
            && let Some(at) = self.rows.iter().position(|item| item.key == chosen)
        {
            let at = self.offset + at;
            self.top = (self.top + at).saturating_sub(self.cursor);
            self.cursor = at;
        }
        self.keep_in_sight();
    }

    /// Searches, filters and sorts what is here.
    pub(crate) fn arrange(&mut self) {
        if self.remote {
            return;
        }
        let wanted = self.search.to_lowercase();
        let filter = self.filters.get(self.filter).copied().filter(|_| self.filter > 0);
        let fits = |item: &&Item| {
            filter.is_none_or(|filter| item.kinds.contains(&filter))
                && (wanted.is_empty()
                    || item.key.to_lowercase().contains(&wanted)
                    || item.cells.iter().any(|cell| cell.text.to_lowercase().contains(&wanted)))
        };
        let mut rows: Vec<Item> = self.everything.iter().filter(fits).cloned().collect();
        let (sort, reversed) = (self.sort, self.reversed);
        rows.sort_by(|a, b| match (a.cells.get(sort), b.cells.get(sort)) {
            (Some(a), Some(b)) => a.order(b, reversed),
            _ => Ordering::Equal,
        });
        self.all = self.everything.len();
        let total = rows.len();
        self.place(rows, 0, total);
    }

    /// So many rows are seen.
    pub(crate) fn resize(&mut self, height: usize) {
        self.height = height.max(1);
        self.keep_in_sight();
    }

    fn keep_in_sight(&mut self) {
        self.cursor = self.cursor.min(self.total.saturating_sub(1));
        self.top = self.top.min(self.total.saturating_sub(self.height));
        self.top = self.top.clamp((self.cursor + 1).saturating_sub(self.height), self.cursor);
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.cursor = step.from(self.cursor, self.total, self.height);
        self.keep_in_sight();
    }

    /// From the beginning, in another order or with another search.
    pub(crate) fn restart(&mut self) {
        (self.cursor, self.top) = (0, 0);
        self.stale = self.remote;
        self.arrange();
    }

    /// Whether it can be sorted by this column.
    pub(crate) fn sorts_by(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| !self.remote || column.sort.is_some())
    }

    /// Sorts by the next column to the right or left.
    pub(crate) fn sort_beside(&mut self, right: bool) {
        let count = self.columns.len();
        let mut column = self.sort;
        for _ in 0..count {
            column = if right { column + 1 } else { column + count - 1 } % count;
            if self.sorts_by(column) {
                break;
            }
        }
        self.sort_by(column);
    }

    pub(crate) fn sort_by(&mut self, column: usize) {
        if self.sorts_by(column) {
            self.sort = column;
            self.restart();
        }
    }

    /// The part that is to be here: what is seen, and as much around it.
    pub(crate) fn part(&self) -> (usize, usize) {
        let here = self.offset..self.offset + self.rows.len();
        let seen = self.seen();
        let limit = (self.height * 3).clamp(30, 200);
        if self.known && here.start <= seen.start && seen.end <= here.end {
            return (self.offset, limit);
        }
        (self.top.saturating_sub(self.height), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::left("NAME", 8), Column::right("CALLS", 5)];

    fn item(name: &str, calls: Option<f64>, kinds: &[&'static str]) -> Item {
        let cells = vec![Cell::text(name), Cell::known(calls, |calls| format!("{calls:.0}"))];
        Item { key: name.into(), cells, kinds: kinds.to_vec(), ..Item::default() }
    }

    fn list(remote: bool) -> List {
        let mut list = List::new(&COLUMNS, &["all", "ill"], 0, false, remote);
        list.resize(3);
        list
    }

    fn names(list: &List) -> Vec<&str> {
        list.rows().iter().map(|item| item.key.as_str()).collect()
    }

    #[test]
    fn it_is_sorted_both_ways_and_what_is_not_known_comes_last() {
        let mut list = list(false);
        list.fill(vec![
            item("b", Some(10.0), &[]),
            item("C", Some(9.0), &[]),
            item("a", None, &[]),
        ]);
        assert_eq!(names(&list), ["a", "b", "C"]);
        list.sort_beside(true);
        assert_eq!(names(&list), ["C", "b", "a"]);
        list.reversed = true;
        list.arrange();
        assert_eq!(names(&list), ["b", "C", "a"]);
        list.sort_beside(true);
        assert_eq!(names(&list), ["C", "b", "a"]);
    }

    #[test]
    fn what_is_searched_for_and_filtered_is_counted_beside_all() {
        let mut list = list(false);
        list.fill(vec![
            item("ann", None, &["ill"]),
            item("ben", None, &[]),
            item("Anna", None, &[]),
        ]);
        list.search = "AN".into();
        list.restart();
        assert_eq!((names(&list), list.total(), list.all), (vec!["ann", "Anna"], 2, 3));
        list.filter = 1;
        list.restart();
        assert_eq!(names(&list), ["ann"]);
    }

    #[test]
    fn what_was_chosen_stays_chosen_where_others_come_before_it() {
        let mut list = list(false);
        list.fill(vec![item("b", None, &[]), item("d", None, &[]), item("f", None, &[])]);
        list.step(Step::Down);
        list.fill(["a", "b", "c", "d", "f"].map(|name| item(name, None, &[])).into());
        assert_eq!(list.chosen().map(|item| item.key.as_str()), Some("d"));
        assert_eq!(list.seen(), 2..5, "it stays where it is on the screen");
        // The first is looked at whatever it is.
        list.step(Step::First);
        list.fill(vec![item("0", None, &[]), item("a", None, &[])]);
        assert_eq!(list.chosen().map(|item| item.key.as_str()), Some("0"));
    }

    #[test]
    fn steps_end_at_both_ends() {
        let mut list = list(false);
        list.fill((0..10).map(|n| item(&n.to_string(), None, &[])).collect());
        let mut places = Vec::new();
        for step in [Step::Up, Step::PageDown, Step::HalfDown, Step::Last, Step::Down, Step::HalfUp]
        {
            list.step(step);
            places.push(list.cursor());
        }
        assert_eq!(places, [0, 3, 4, 9, 9, 8]);
        list.fill(Vec::new());
        list.step(Step::Last);
        assert_eq!((list.cursor(), list.seen(), list.chosen()), (0, 0..0, None));
    }

    #[test]
    fn of_a_list_of_the_switch_only_the_part_around_what_is_seen_is_asked_for() {
        let mut list = list(true);
        assert_eq!(list.part(), (0, 30));
        let part = |offset: usize| -> Vec<Item> {
            (offset..offset + 30).map(|n| item(&format!("{n:04}"), None, &[])).collect()
        };
        list.take(part(0), 0, 2_000, 2_000);
        for _ in 0..20 {
            list.step(Step::Down);
        }
        assert_eq!(list.part(), (0, 30), "it is here already");
        list.step(Step::Last);
        assert_eq!((list.seen(), list.chosen()), (1_997..2_000, None));
        assert_eq!(list.part(), (1_994, 30));
        list.take(part(1_994).into_iter().take(6).collect(), 1_994, 2_000, 2_000);
        assert_eq!(list.chosen().map(|item| item.key.as_str()), Some("1999"));
        assert_eq!(list.part(), (1_994, 30));
    }
}
