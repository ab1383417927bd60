//! Looks for the longest datagram that passes: sizes are tried, longest first, then by halves.

use std::net::IpAddr;

/// What is known of a path's MTU. Sizes are those of IP packets, headers included.
///
/// ```
/// use oneport::probe::PathMtu;
///
/// // Longer packets vanish, and no router says so.
/// let path = PathMtu { passes: Some(1_400), fails: Some(1_401), told: None };
/// assert!(path.is_hole());
/// let told = Some((Some("192.0.2.1".parse()?), 1_400));
/// assert!(!PathMtu { told, ..path }.is_hole());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathMtu {
    /// The longest that passed; `None`: not even the shortest that was tried.
    pub passes: Option<usize>,
    /// The shortest that did not; `None`: the longest that was tried passed.
    pub fails: Option<usize>,
    /// Who said that something was too long, and what would fit (ICMP, or this machine for its own
    /// interface); `None`: what is too long vanishes without a word.
    pub told: Option<(Option<IpAddr>, usize)>,
}

impl PathMtu {
    /// Longer datagrams vanish, and nobody says so: a hole that senders fall into.
    #[must_use]
    pub const fn is_hole(&self) -> bool {
        self.fails.is_some() && self.told.is_none() && self.passes.is_some()
    }
}

/// The search.
///
/// A path of 1,452 bytes on which nobody says that something is too long:
///
/// ```
/// use oneport::probe::MtuSearch;
///
/// let mut search = MtuSearch::new(576, 1_500, 3);
/// let mut sent = 0;
/// while let Some(size) = search.next() {
///     sent += 1;
///     if size <= 1_452 { search.answered(size) } else { search.lost(size) }
/// }
/// assert_eq!((search.found().passes, search.found().fails), (Some(1_452), Some(1_453)));
/// assert!(search.found().is_hole());
/// assert!(sent < 30);
/// ```
#[derive(Clone, Debug)]
pub struct MtuSearch {
    found: PathMtu,
    least: usize,
    most: usize,
    /// Of each size so many are sent before it counts as too long.
    tries: u32,
    /// How many of the present size have not come back.
    lost: u32,
}

impl MtuSearch {
    /// Between two sizes of IP packets, of each of which `tries` are sent.
    #[must_use]
    pub fn new(least: usize, most: usize, tries: u32) -> Self {
        Self { found: PathMtu::default(), least, most, tries: tries.max(1), lost: 0 }
    }

    /// The size to try now; `None`: all is known.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        let PathMtu { passes, fails, told } = self.found;
        match (passes, fails) {
            (None, None) => Some(self.most),
            // What somebody has said would fit is tried before anything else.
            (None, Some(fails)) => match told {
                Some((_, fits)) if (self.least..fails).contains(&fits) => Some(fits),
                _ => (fails > self.least).then_some(self.least),
            },
            (Some(passes), Some(fails)) => {
                (fails - passes > 1).then_some(passes + (fails - passes) / 2)
            }
            (Some(_), None) => None,
        }
    }

    /// One of `size` was answered.
    pub fn answered(&mut self, size: usize) {
        self.lost = 0;
        self.found.passes = Some(self.found.passes.map_or(size, |passes| passes.max(size)));
        // A slow answer to a size that was given up.
        if self.found.fails.is_some_and(|fails| fails <= size) {
            self.found.fails = None;
        }
    }

    /// One of `size` was not.
    pub fn lost(&mut self, size: usize) {
        self.lost += 1;
        if self.lost >= self.tries {
            self.fail(size);
        }
    }

    /// Somebody says that `size` is too long: `by`, or this machine itself. `fits` is what would do; 0
    /// where that is not told.
    pub fn too_long(&mut self, size: usize, by: Option<IpAddr>, fits: usize) {
        self.found.told = Some((by, fits));
        self.fail(size);
    }

    fn fail(&mut self, size: usize) {
        self.lost = 0;
        self.found.fails = Some(self.found.fails.map_or(size, |fails| fails.min(size)));
    }

    /// What is known.
    #[must_use]
    pub const fn found(&self) -> PathMtu {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a path that carries `mtu`, of which every `loses`th datagram is lost besides; `told`: a router
    /// says so. Also how many datagrams that took.
    fn search(mtu: usize, told: bool, loses: usize) -> (PathMtu, usize) {
        let (mut search, mut sent) = (MtuSearch::new(576, 1_500, 3), 0);
        let router = "192.0.2.1".parse().expect("an address");
        while let Some(size) = search.next() {
            sent += 1;
            match size <= mtu {
                true if loses == 0 || sent % loses != 0 => search.answered(size),
                false if told => search.too_long(size, Some(router), mtu),
                _ => search.lost(size),
            }
            assert!(sent < 200, "it ends");
        }
        (search.found(), sent)
    }

    #[test]
    fn a_path_that_carries_all_costs_one_datagram() {
        assert_eq!(
            search(1_500, false, 0),
            (PathMtu { passes: Some(1_500), ..PathMtu::default() }, 1)
        );
    }

    #[test]
    fn a_hole_is_found_to_the_byte_even_where_others_are_lost_by_chance() {
        for mtu in [576, 577, 1_279, 1_400, 1_420, 1_492, 1_499] {
            for loses in [0, 7] {
                let (found, sent) = search(mtu, false, loses);
                assert_eq!((found.passes, found.fails), (Some(mtu), Some(mtu + 1)), "{mtu}");
                assert!(found.is_hole() && sent <= 60, "{sent} datagrams");
            }
        }
    }

    #[test]
    fn a_router_that_says_what_fits_is_believed_and_proved() {
        let (found, sent) = search(1_420, true, 0);
        assert_eq!((found.passes, found.fails), (Some(1_420), Some(1_421)));
        assert!(
            !found.is_hole() && found.told.is_some_and(|(by, fits)| by.is_some() && fits == 1_420)
        );
        assert!(sent <= 10, "{sent} datagrams");
    }

    #[test]
    fn a_path_that_carries_nothing_ends_at_the_shortest() {
        let (found, _) = search(100, false, 0);
        assert_eq!((found.passes, found.fails), (None, Some(576)));
        assert!(!found.is_hole());
    }
}
