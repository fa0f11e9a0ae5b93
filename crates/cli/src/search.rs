//! `audit search` and `audit tail`.

use crate::args::{Global, SearchArgs};
use crate::connect::{block_on, client};
use crate::out::{Failure, Outcome, plain, print, print_json, print_json_line, say};
use hyper::Method;
use marque_api::control::{Found, Search, SearchPage, Status};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: u64 = 86_400_000;

pub(crate) fn main(global: &Global, args: &SearchArgs) -> Outcome {
    let now_ms = now_ms();
    let asked = Search {
        session: args.session.clone(),
        leaf: args.leaf.clone(),
        credential: args.credential.clone(),
        human: args.human.clone(),
        service: args.service.clone(),
        operation: args.operation.clone(),
        resource: args.resource.clone(),
        effect: args.effect.clone(),
        decision: args.decision.clone(),
        code: args.code.clone(),
        kind: args.kind.clone(),
        reference: args.reference.clone(),
        since_ms: args.since.as_deref().map(|text| time(text, now_ms)).transpose()?,
        until_ms: args.until.as_deref().map(|text| time(text, now_ms)).transpose()?,
        after: args.after,
        limit: Some(args.limit),
    };
    let client = client(global)?;
    let page: SearchPage = block_on(async { Ok(client.call(Method::POST, "/v1/search", Some(&asked)).await?) })?;
    if global.json {
        return print_json(&page);
    }
    page.records.iter().for_each(|found| print(&line(found)));
    match page.next {
        Some(next) => say(&format!("more: the next page begins with `--after {next}`")),
        None => say(&format!("that is all in {} records (checked by {})", page.searched, page.checked)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn tail(global: &Global, limit: u64, follow: bool) -> Outcome {
    let client = client(global)?;
    block_on(async {
        let status: Status = crate::connect::status(&client).await?;
        let mut next = status.records.saturating_sub(limit);
        let mut lines = client.stream(&format!("/v1/records/{next}/tail")).await?;
        while follow || next < status.records {
            let Some(found) = lines.next::<Found>().await? else { break };
            next = found.seq + 1;
            match global.json {
                true => print_json_line(&found)?,
                false => print(&line(&found)),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn line(found: &Found) -> String {
    let mut out = format!("{:>8}  {}  {:<14}", found.seq, rfc3339(found.time_ms), found.kind);
    let mut add = |text: String| {
        out.push(' ');
        out.push_str(&plain(&text));
    };
    let words = [&found.decision, &found.service, &found.operation, &found.resource];
    words.into_iter().flatten().for_each(|word| add(word.clone()));
    found.effect.iter().for_each(|effect| add(format!("({effect})")));
    found.credential.iter().for_each(|name| add(format!("with {name}")));
    found.codes.iter().for_each(|code| add(code.clone()));
    found.status.iter().for_each(|status| add(status.to_string()));
    found.count.iter().for_each(|count| add(format!("×{count}")));
    found.cause.iter().for_each(|seq| add(format!("from {seq}")));
    found.detail.iter().for_each(|detail| add(detail.clone()));
    found.session.iter().for_each(|session| add(format!("[{session}]")));
    out
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// A moment: so long ago (`15m`, `2h`, `3d`), a day or a second in UTC.
fn time(text: &str, now_ms: u64) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("`{text}` is no time"), "write `2h`, `2026-11-22` or `2026-11-22T08:00:00Z`");
    let ago = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', DAY_MS)].into_iter().find_map(|(unit, ms)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(now_ms.saturating_sub(number.checked_mul(ms)?))
    });
    ago.or_else(|| calendar(text)).ok_or_else(wrong)
}

fn calendar(text: &str) -> Option<u64> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, clock.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let parts: Vec<&str> = text.split(separator).collect();
        let all: Option<Vec<u64>> = parts.iter().map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?).collect();
        all?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(clock, ':')?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day.checked_sub(1)?;
    // A day that its month has not is another day.
    if day_of(days) != (year, month, day) {
        return None;
    }
    Some(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000)
}

/// Days from 1970 to the first of a month, in the proleptic Gregorian calendar.
fn days_before(year: u64, month: u64) -> u64 {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths.iter().take(usize::try_from(month).unwrap_or(1).saturating_sub(1)).sum::<u64>()
}

fn day_of(days: u64) -> (u64, u64, u64) {
    // No year has more days than 366, and none fewer than 365.
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_before(year, *month) <= days).unwrap_or(1);
    (year, month, days - days_before(year, month) + 1)
}

/// A moment in UTC, to the second.
pub(crate) fn rfc3339(time_ms: u64) -> String {
    let (year, month, day) = day_of(time_ms / DAY_MS);
    let second = time_ms % DAY_MS / 1_000;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for (text, ms) in [("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799_000), ("2026-11-22T08:00:00Z", 1_795_334_400_000)] {
            assert_eq!(time(text, 0).ok(), Some(ms), "{text}");
            assert_eq!(rfc3339(ms), text);
        }
        assert_eq!(time("2026-11-22", 0).ok(), Some(1_795_305_600_000));
        assert_eq!(time("2h", 10_000_000).ok(), Some(2_800_000));
        for bad in ["", "h", "2026-02-29", "2026-13-01", "2026-11-22T24:00:00Z", "2026-11-22T08:00:00", "-2h", "+1-1-1", "1e3s"] {
            assert!(time(bad, 0).is_err(), "{bad}");
        }
    }
}
