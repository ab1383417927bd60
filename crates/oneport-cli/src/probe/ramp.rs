//! How many calls to try at once: twice as many each time until some suffer, and then half way between.

/// How often the border is looked for between the last that did well and the first that suffered.
const HALVINGS: u32 = 2;

/// The search.
#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    most: usize,
    /// What is tried first, until it has been.
    first: Option<usize>,
    good: usize,
    bad: Option<usize>,
    halvings: u32,
}

impl Ramp {
    /// One call did well; up to `most` are tried.
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, first: None, good: 1, bad: None, halvings: HALVINGS }
    }

    /// The same, with this many at first: where fewer are believed to do well.
    pub(crate) fn from(first: usize, most: usize) -> Self {
        let first = Some(first.min(most)).filter(|first| *first > 1);
        Self { first, ..Self::new(most) }
    }

    /// How many to try now; `None`: enough is known.
    pub(crate) fn next(&self) -> Option<usize> {
        if self.first.is_some() {
            return self.first;
        }
        match self.bad {
            None => (self.good < self.most).then(|| (self.good * 2).min(self.most)),
            Some(bad) => {
                (self.halvings > 0 && bad - self.good > 1).then(|| self.good.midpoint(bad))
            }
        }
    }

    /// So many did well, or suffered.
    pub(crate) fn judge(&mut self, calls: usize, did_well: bool) {
        self.first = None;
        if self.bad.is_some() {
            self.halvings = self.halvings.saturating_sub(1);
        }
        match did_well {
            true => self.good = self.good.max(calls),
            false => self.bad = Some(self.bad.map_or(calls, |bad| bad.min(calls))),
        }
    }

    /// The most that did well.
    pub(crate) const fn good(&self) -> usize {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps where `fit` calls fit, and what is found.
    fn climb(most: usize, fit: usize) -> (Vec<usize>, usize) {
        go(Ramp::new(most), fit)
    }

    fn go(mut ramp: Ramp, fit: usize) -> (Vec<usize>, usize) {
        let mut steps = Vec::new();
        while let Some(calls) = ramp.next() {
            steps.push(calls);
            ramp.judge(calls, calls <= fit);
        }
        (steps, ramp.good())
    }

    #[test]
    fn it_doubles_up_to_the_most_and_never_beyond() {
        assert_eq!(climb(16, 100), (vec![2, 4, 8, 16], 16));
        assert_eq!(climb(10, 100), (vec![2, 4, 8, 10], 10));
        assert_eq!(climb(1, 100), (vec![], 1));
    }

    #[test]
    fn it_comes_near_the_border_and_never_above_what_suffered() {
        assert_eq!(climb(64, 11), (vec![2, 4, 8, 16, 12, 10], 10));
        assert_eq!(climb(64, 1), (vec![2], 1));
        assert_eq!(climb(64, 3), (vec![2, 4, 3], 3));
    }

    #[test]
    fn it_begins_where_fewer_are_believed_to_do_well_and_goes_back_if_they_do_not() {
        assert_eq!(go(Ramp::from(8, 64), 14), (vec![8, 16, 12, 14], 14));
        assert_eq!(go(Ramp::from(8, 8), 14), (vec![8], 8));
        assert_eq!(go(Ramp::from(8, 64), 0), (vec![8, 4, 2], 1));
        assert_eq!(go(Ramp::from(1, 4), 3), (vec![2, 4, 3], 3));
    }
}
