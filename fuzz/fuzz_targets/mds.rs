//! Fuzzes authenticator metadata: arbitrary bytes, and genuine metadata with replaced parts. Unsigned contents are
//! rejected.
#![no_main]

use std::sync::LazyLock;

use authn::mds::{Metadata, PUBLISHER, Trust, testing::Publisher};
use domain::clock::{Clock as _, SystemClock};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static GENUINE: LazyLock<(Publisher, String)> = LazyLock::new(|| {
    let publisher = Publisher::fido();
    let blob = publisher.publish(&document());
    (publisher, blob)
});

fn document() -> Value {
    json!({
        "no": 7,
        "nextUpdate": "2100-01-01",
        "entries": [{
            "aaguid": "84c6ccb9-ab1d-b374-750b-2367ff6f3a1f",
            "metadataStatement": {
                "description": "Key 5",
                "keyProtection": ["hardware", "tee"],
                "attestationRootCertificates": [],
            },
            "statusReports": [{"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2020-01-01"}],
        }],
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (publisher, blob) = &*GENUINE;
    let anchors = [publisher.root.clone()];
    let trust = Trust { anchors: &anchors, publisher: PUBLISHER };
    let now = SystemClock.now();
    let is_spacing = |text: &[u8]| text.trim_ascii() == blob.as_bytes();
    if Metadata::verify(bytes, trust, None, now).is_ok() {
        assert!(is_spacing(bytes));
    }
    let [how, high, low, length, ref bytes @ ..] = *bytes else { return };
    if how % 2 == 0 {
        // Modified published metadata. Signed contents must not change.
        let start = (usize::from(high) << 8 | usize::from(low)) % (blob.len() + 1);
        let end = (start + usize::from(length)).min(blob.len());
        let changed = [&blob.as_bytes()[..start], bytes, &blob.as_bytes()[end..]].concat();
        if let Ok(metadata) = Metadata::verify(&changed, trust, None, now) {
            // An ECDSA signature has a second valid form, but the signed contents must be the same.
            let signed = |text: &[u8]| text.trim_ascii().rsplit(|byte| *byte == b'.').nth(1).map(<[u8]>::to_vec);
            assert_eq!(signed(&changed), signed(blob.as_bytes()));
            assert_eq!(metadata.number, 7);
        }
        return;
    }
    // An arbitrary document, signed by the publisher.
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    let signed = publisher.publish(&document);
    if let Ok(metadata) = Metadata::verify(signed.as_bytes(), trust, Some(3), now) {
        assert!(metadata.number >= 3);
        for entry in &metadata.entries {
            let _ = (entry.authenticator_status(now).level(), entry.is_software(), entry.is_hardware());
        }
    }
});
