use oneport_wire::Datagram;

/// Any bytes are read or refused, and what is read says the same when it is encoded again.
///
/// # Panics
/// When it does not.
pub fn datagram(bytes: &[u8]) {
    match Datagram::decode(bytes) {
        Ok(Datagram::Full(frame)) => {
            let Ok(message) = frame.message() else { return };
            // Formatting visits every element.
            let _ = frame.to_string();
            let mut again = Vec::new();
            message.encode(&frame.header, &mut again);
            let Ok(Datagram::Full(second)) = Datagram::decode(&again) else {
                panic!("{again:02x?} does not decode")
            };
            assert_eq!(second.header, frame.header);
            assert_eq!(second.message().expect("it decoded before"), message);
        }
        Ok(Datagram::Trunk(trunk)) => {
            let len: usize = trunk.entries().map(|entry| entry.payload.len()).sum();
            assert!(len <= bytes.len());
        }
        Ok(Datagram::Mini(_) | Datagram::VideoMini(_)) | Err(_) => {}
    }
}
