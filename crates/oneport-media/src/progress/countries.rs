//! The tables: see [`super`].

use super::{Cadence, Country, Pitch};

const fn steady(pitch: Pitch) -> Cadence {
    Cadence { pitch, times: &[] }
}

const fn one(frequency: u16, times: &'static [u16]) -> Cadence {
    Cadence { pitch: Pitch::One(frequency), times }
}

const fn both(one: u16, other: u16, times: &'static [u16]) -> Cadence {
    Cadence { pitch: Pitch::Both(one, other), times }
}

const fn modulated(one: u16, by: u16, times: &'static [u16]) -> Cadence {
    Cadence { pitch: Pitch::Modulated(one, by), times }
}

const fn country(code: &'static str, name: &'static str, tones: [Cadence; 4]) -> Country {
    Country { code, name, tones }
}

/// Tones of one frequency throughout, with a steady dial tone: the times of ringing, busy and
/// congestion.
const fn plain(
    code: &'static str,
    name: &'static str,
    frequency: u16,
    times: [&'static [u16]; 3],
) -> Country {
    let [ringback, busy, congestion] = times;
    let tones = [
        steady(Pitch::One(frequency)),
        one(frequency, ringback),
        one(frequency, busy),
        one(frequency, congestion),
    ];
    country(code, name, tones)
}

/// Two short rings and a pause.
const TWICE: &[u16] = &[400, 200, 400, 2_000];

/// All countries whose tones are known, by their code.
pub const COUNTRIES: &[Country] = &[
    plain("at", "Austria", 420, [&[1_000, 5_000], &[400, 400], &[200, 200]]),
    country(
        "au",
        "Australia",
        [
            steady(Pitch::Both(413, 438)),
            both(413, 438, TWICE),
            one(425, &[375, 375]),
            one(425, &[375, 375]),
        ],
    ),
    plain("be", "Belgium", 425, [&[1_000, 3_000], &[500, 500], &[167, 167]]),
    plain("br", "Brazil", 425, [&[1_000, 4_000], &[250, 250], &[250, 250, 750, 250]]),
    country(
        "ca",
        "Canada",
        [
            steady(Pitch::Both(350, 440)),
            both(440, 480, &[2_000, 4_000]),
            both(480, 620, &[500, 500]),
            both(480, 620, &[250, 250]),
        ],
    ),
    plain("ch", "Switzerland", 425, [&[1_000, 4_000], &[500, 500], &[200, 200]]),
    plain("cl", "Chile", 400, [&[1_000, 3_000], &[500, 500], &[200, 200]]),
    plain("cn", "China", 450, [&[1_000, 4_000], &[350, 350], &[700, 700]]),
    country(
        "cz",
        "Czechia",
        [
            one(425, &[330, 330, 660, 660]),
            one(425, &[1_000, 4_000]),
            one(425, &[330, 330]),
            one(425, &[165, 165]),
        ],
    ),
    plain("de", "Germany", 425, [&[1_000, 4_000], &[480, 480], &[240, 240]]),
    plain("dk", "Denmark", 425, [&[1_000, 4_000], &[500, 500], &[200, 200]]),
    plain("es", "Spain", 425, [&[1_500, 3_000], &[200, 200], &[200, 200, 200, 200, 200, 600]]),
    plain("fi", "Finland", 425, [&[1_000, 4_000], &[300, 300], &[200, 200]]),
    plain("fr", "France", 440, [&[1_500, 3_500], &[500, 500], &[500, 500]]),
    country(
        "gb",
        "United Kingdom",
        [
            steady(Pitch::Both(350, 440)),
            both(400, 450, TWICE),
            one(400, &[375, 375]),
            one(400, &[400, 350, 225, 525]),
        ],
    ),
    country(
        "gr",
        "Greece",
        [
            one(425, &[200, 300, 700, 800]),
            one(425, &[1_000, 4_000]),
            one(425, &[300, 300]),
            one(425, &[200, 200]),
        ],
    ),
    plain("hu", "Hungary", 425, [&[1_250, 3_750], &[300, 300], &[300, 300]]),
    plain("il", "Israel", 414, [&[1_000, 3_000], &[500, 500], &[250, 250]]),
    country(
        "in",
        "India",
        [
            modulated(400, 25, &[]),
            modulated(400, 25, TWICE),
            one(400, &[750, 750]),
            one(400, &[250, 250]),
        ],
    ),
    country(
        "it",
        "Italy",
        [
            one(425, &[200, 200, 600, 1_000]),
            one(425, &[1_000, 4_000]),
            one(425, &[500, 500]),
            one(425, &[200, 200]),
        ],
    ),
    country(
        "jp",
        "Japan",
        [
            steady(Pitch::One(400)),
            modulated(400, 16, &[1_000, 2_000]),
            one(400, &[500, 500]),
            one(400, &[500, 500]),
        ],
    ),
    plain("mx", "Mexico", 425, [&[1_000, 4_000], &[250, 250], &[250, 250]]),
    plain("nl", "Netherlands", 425, [&[1_000, 4_000], &[500, 500], &[250, 250]]),
    plain("no", "Norway", 425, [&[1_000, 4_000], &[500, 500], &[200, 200]]),
    country(
        "nz",
        "New Zealand",
        [
            steady(Pitch::One(400)),
            both(400, 450, TWICE),
            one(400, &[500, 500]),
            one(400, &[250, 250]),
        ],
    ),
    plain("pl", "Poland", 425, [&[1_000, 4_000], &[500, 500], &[500, 500]]),
    plain("pt", "Portugal", 425, [&[1_000, 5_000], &[500, 500], &[200, 200]]),
    plain("ru", "Russia", 425, [&[1_000, 4_000], &[350, 350], &[175, 175]]),
    plain("se", "Sweden", 425, [&[1_000, 5_000], &[250, 250], &[250, 750]]),
    country(
        "sg",
        "Singapore",
        [
            steady(Pitch::One(425)),
            modulated(425, 24, TWICE),
            one(425, &[750, 750]),
            one(425, &[250, 250]),
        ],
    ),
    country(
        "us",
        "United States",
        [
            steady(Pitch::Both(350, 440)),
            both(440, 480, &[2_000, 4_000]),
            both(480, 620, &[500, 500]),
            both(480, 620, &[250, 250]),
        ],
    ),
    country(
        "za",
        "South Africa",
        [
            modulated(400, 33, &[]),
            modulated(400, 33, TWICE),
            one(400, &[500, 500]),
            one(400, &[250, 250]),
        ],
    ),
];
