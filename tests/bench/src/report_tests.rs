//! What programs read in the report.

use super::*;
use serde_json::{Value, json};

const TARGET: Target = Target {
    ratio: 0.6,
    ours_max: None,
};

fn row(ours: &[f64], theirs: &[f64], target: Target) -> Row {
    let runs = Runs {
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
    };
    Row::measured("b", "p", "p 1.0", Unit::Seconds, runs, target).unwrap()
}

fn json_of(row: &Row) -> Value {
    serde_json::to_value(row).unwrap()
}

#[test]
fn the_median_is_the_middle_and_one_outlier_does_not_move_it() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[1.0, 2.0, 900.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&[7.0]), Some(7.0));
    assert_eq!(median(&[]), None);
}

#[test]
fn the_ratio_is_ours_by_theirs_of_the_medians() {
    let found = json_of(&row(&[1.0, 2.0, 9.0], &[4.0, 8.0, 4.0], TARGET));
    assert_eq!(found["ratio"], json!(0.5));
    assert_eq!(found["met"], json!(true));
    assert_eq!(json_of(&row(&[3.0], &[4.0], TARGET))["met"], json!(false));
}

#[test]
fn a_target_for_ours_alone_counts_besides_the_ratio() {
    let capped = |most| Target {
        ratio: 0.6,
        ours_max: Some(most),
    };
    assert_eq!(json_of(&row(&[2.0], &[4.0], capped(2.0)))["met"], json!(true));
    assert_eq!(json_of(&row(&[2.0], &[4.0], capped(1.9)))["met"], json!(false));
}

#[test]
fn a_measured_row_has_every_member_that_programs_rely_on() {
    let found = json_of(&row(&[1.0], &[2.0], TARGET).with_limit("w", 0.5));
    for name in [
        "bench",
        "peer",
        "peer_version",
        "ours",
        "theirs",
        "unit",
        "ratio",
        "target",
        "met",
    ] {
        assert!(found.get(name).is_some(), "{name}: {found}");
    }
    assert!(found.get("reason").is_none());
    assert_eq!(found["unit"], json!("s"));
    assert_eq!(found["limit"]["ours_to_limit"], json!(2.0));
}

#[test]
fn a_row_without_numbers_has_its_reason_and_nothing_that_looks_like_a_number() {
    assert_eq!(
        json_of(&Row::not_run("b", "p", "because")),
        json!({"bench": "b", "peer": "p", "reason": "because"})
    );
}

#[test]
fn runs_that_give_no_ratio_are_an_error() {
    for (ours, theirs) in [(vec![], vec![1.0]), (vec![1.0], vec![]), (vec![1.0], vec![0.0])] {
        let runs = Runs { ours, theirs };
        assert!(Row::measured("b", "p", "v", Unit::Bytes, runs, TARGET).is_err());
    }
}

#[test]
fn the_file_is_an_array_and_the_table_shows_numbers_and_reasons() {
    let rows = [
        row(&[1.0], &[2.0], TARGET),
        Row::not_run("c", "q", "no such tool"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    write(&rows, &path).unwrap();
    let found: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 2);
    let text = table(&rows);
    assert!(
        text.contains("1.000 s") && text.contains("0.50") && text.contains("yes"),
        "{text}"
    );
    assert!(text.contains("c: no such tool"), "{text}");
}

#[test]
fn percentiles_are_numbers_that_were_measured() {
    let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!(percentile(&hundred, 0.5), Some(50.0));
    assert_eq!(percentile(&hundred, 0.99), Some(99.0));
    assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.99), Some(3.0));
    assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.0), Some(1.0));
    assert_eq!(percentile(&[], 0.5), None);
}

#[test]
fn a_figure_without_a_peer_is_met_by_its_own_limit_or_has_none() {
    let capped = json_of(&Row::alone("b", Unit::Percent, 0.4, vec![0.4], Some(0.5)));
    assert_eq!((&capped["met"], &capped["unit"]), (&json!(true), &json!("%")));
    let over = json_of(&Row::alone("b", Unit::Percent, 0.6, vec![0.6], Some(0.5)));
    assert_eq!(over["met"], json!(false));
    let row = Row::alone("b", Unit::Seconds, 2.0, vec![1.0, 3.0], None).with_note("why");
    let found = json_of(&row);
    assert!(
        found.get("met").is_none() && found.get("ours_max").is_none(),
        "{found}"
    );
    assert_eq!(found["note"], json!("why"));
    assert!(table(&[row]).contains("2.000 s"));
}
