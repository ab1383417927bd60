//! The page about the switch: its configuration is good, and its calls do what it says.

use oneport::media::wav;

use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/switch.md");

#[test]
fn the_commands_of_the_page_run_as_they_are_written() {
    let page = Page::serve(PAGE, &["4570"], |directory| {
        let music = directory.join("music");
        std::fs::create_dir(&music).expect("writable");
        let mut writer = wav::Writer::create(&music.join("a.wav"), 8_000).expect("writable");
        writer.write(&[4_000; 8_000]).expect("writable");
        writer.finish().expect("writable");
    });
    page.run_commands(6);
    let music = wav::read(&page.file("music.wav"), 8_000).expect("recorded");
    assert!(music.iter().filter(|sample| **sample > 3_800).count() > 8_000, "no music");
}
