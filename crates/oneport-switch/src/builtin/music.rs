//! Music on hold: the WAV files of a folder, in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sound::Sound;

/// The music of one folder.
#[derive(PartialEq, Eq)]
pub(crate) struct MusicClass {
    folder: PathBuf,
    tracks: Vec<Sound>,
    shuffled: bool,
}

impl fmt::Debug for MusicClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tracks = self.tracks.len();
        f.debug_struct("MusicClass").field("folder", &self.folder).field("tracks", &tracks).finish()
    }
}

impl MusicClass {
    /// Reads all WAV files of `folder`, in the order of their names. `room` is how many bytes they may
    /// take yet, and is lessened by what they take.
    ///
    /// # Errors
    /// In words: the folder cannot be read, has no such file, or one that is none, or too much.
    pub(crate) fn load(folder: &Path, shuffled: bool, room: &mut usize) -> Result<Self, String> {
        let entries = std::fs::read_dir(folder)
            .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
        let paths = entries.flatten().map(|entry| entry.path());
        let is_wav = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"))
        };
        let mut paths: Vec<PathBuf> = paths.filter(is_wav).collect();
        paths.sort_unstable();
        let mut tracks = Vec::new();
        for path in paths {
            // Of audio at the greatest rate, this much becomes what is kept.
            let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
            if bytes / 8 > *room as u64 {
                return Err(too_much(&path));
            }
            let track = Sound::load(&path)?;
            *room = room.checked_sub(track.size()).ok_or_else(|| too_much(&path))?;
            tracks.push(track);
        }
        if tracks.is_empty() {
            return Err(format!("{} has no WAV file", folder.display()));
        }
        Ok(Self { folder: folder.into(), tracks, shuffled })
    }

    /// How many files it has.
    pub(crate) fn len(&self) -> usize {
        self.tracks.len()
    }

    /// The music for one listener, from its beginning.
    pub(crate) fn playlist(self: Arc<Self>) -> Playlist {
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        if self.shuffled {
            fastrand::shuffle(&mut order);
        }
        Playlist { class: self, order, place: 0, position: 0 }
    }
}

fn too_much(path: &Path) -> String {
    format!("with {} it is more music than is kept in memory", path.display())
}

/// Where one listener is in the music.
#[derive(Debug)]
pub(crate) struct Playlist {
    class: Arc<MusicClass>,
    order: Vec<usize>,
    /// Place in `order`.
    place: usize,
    /// Sample within that track, at the rate asked for.
    position: usize,
}

impl Playlist {
    /// Puts the next `len` samples at `rate` into `frame`. Behind the last file the first follows.
    pub(crate) fn fill(&mut self, rate: u32, len: usize, frame: &mut Vec<i16>) {
        frame.clear();
        while frame.len() < len {
            let track = self.order.get(self.place).and_then(|track| self.class.tracks.get(*track));
            let Some(track) = track else { return frame.resize(len, 0) };
            let rest = track.at(rate).get(self.position..).unwrap_or_default();
            if rest.is_empty() {
                self.position = 0;
                self.place = (self.place + 1) % self.order.len();
                continue;
            }
            let part = &rest[..rest.len().min(len - frame.len())];
            frame.extend_from_slice(part);
            self.position += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use oneport_media::wav;

    use super::*;

    /// A folder with files of these levels, each of 200 samples at 8 kHz.
    fn folder(levels: &[i16]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a directory");
        for (n, level) in levels.iter().enumerate() {
            let path = folder.path().join(format!("{n}.wav"));
            let mut writer = wav::Writer::create(&path, 16_000).expect("writable");
            writer.write(&[*level; 400]).expect("writable");
            writer.finish().expect("writable");
        }
        std::fs::write(folder.path().join("cover.jpg"), "").expect("writable");
        folder
    }

    /// The level in the middle of each of the next tracks.
    fn levels(playlist: &mut Playlist, count: usize) -> Vec<i16> {
        let mut frame = Vec::new();
        let mut level = || {
            playlist.fill(16_000, 400, &mut frame);
            frame[200]
        };
        (0..count).map(|_| level()).collect()
    }

    #[test]
    fn files_are_played_in_the_order_of_their_names_again_and_again() {
        let folder = folder(&[100, 200, 300]);
        let class = MusicClass::load(folder.path(), false, &mut 1_000_000).expect("music");
        assert_eq!(class.len(), 3);
        let mut playlist = Arc::new(class).playlist();
        assert_eq!(levels(&mut playlist, 7), [100, 200, 300, 100, 200, 300, 100]);
        let mut frame = Vec::new();
        playlist.fill(8_000, 160, &mut frame);
        assert_eq!(frame.len(), 160);
    }

    #[test]
    fn shuffled_each_file_comes_once_before_any_comes_twice() {
        let folder = folder(&[1, 2, 3, 4, 5]);
        let class = MusicClass::load(folder.path(), true, &mut 1_000_000).expect("music");
        let mut playlist = Arc::new(class).playlist();
        let first = levels(&mut playlist, 5);
        assert_eq!(levels(&mut playlist, 5), first);
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_cannot_be_kept_or_heard_is_refused_in_words() {
        let full = folder(&[1, 2]);
        // Each takes 1,200 bytes.
        let mut room = 2_399;
        let error = MusicClass::load(full.path(), false, &mut room).expect_err("too much");
        assert!(error.contains("1.wav") && error.contains("more music"), "{error}");
        let mut room = 2_400;
        MusicClass::load(full.path(), false, &mut room).expect("just enough");
        assert_eq!(room, 0);
        let empty = folder(&[]);
        let error = MusicClass::load(empty.path(), false, &mut 1).expect_err("nothing");
        assert!(error.contains("no WAV file"), "{error}");
        assert!(MusicClass::load(&empty.path().join("none"), false, &mut 1).is_err());
    }
}
