//! Lists, page by page, as Kong has them.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use super::answer::segment;
use crate::http::problem::Problem;
use crate::issue::Refusal;

/// How many rows a page has, Kong's: 100 unless asked for 1 to 1000.
pub(super) const PAGE: usize = 100;
pub(super) const LONGEST_PAGE: usize = 1000;

/// Rows that are looked through for those with the tags; a page may then have fewer than asked for, and
/// still a next one.
const LOOKED_THROUGH: usize = 10_000;

/// Kong's.
const MOST_TAGS: usize = 5;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Rows on a page, 1 to 1000; 100 unless said otherwise.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    size: Option<String>,
    /// The `offset` of the page before.
    #[param(value_type = Option<Uuid>)]
    offset: Option<String>,
    /// Only rows with these tags: `a,b` with both, `a/b` with any of the two.
    tags: Option<String>,
    /// Of `/consumers` alone: the one with this `custom_id`.
    pub(super) custom_id: Option<String>,
}

pub(super) type Paging = Result<Query<Asked>, QueryRejection>;

/// Which part of a list is asked for.
pub(super) struct Page {
    pub(super) after: Option<Uuid>,
    size: usize,
    tags: Option<Tags>,
}

/// Which tags a row must have.
struct Tags {
    text: String,
    names: Vec<String>,
    all: bool,
}

/// A row of a list that can be filtered.
pub(super) trait Row {
    fn id(&self) -> Uuid;

    /// Of what has none, none are asked for in vain.
    fn tags(&self) -> &[String] {
        &[]
    }
}

impl Page {
    pub(super) fn of(asked: &Asked) -> Result<Self, Problem> {
        let size = match &asked.size {
            None => PAGE,
            Some(size) => {
                let number: f64 = size.parse().map_err(|_| Problem::InvalidSize("size must be a number"))?;
                let whole = number.fract() == 0.0 && (1.0..=LONGEST_PAGE as f64).contains(&number);
                if !whole {
                    return Err(Problem::InvalidSize("size must be an integer between 1 and 1000"));
                }
                number as usize
            }
        };
        let offset =
            asked.offset.as_deref().map(|offset| Uuid::parse_str(offset).map_err(|_| Problem::InvalidOffset));
        Ok(Self { after: offset.transpose()?, size, tags: asked.tags.as_deref().map(Tags::of).transpose()? })
    }

    /// The page of a list whose rows `read` gives, in order of their ids, so many after one of them.
    pub(super) async fn read<R: Row, F: Future<Output = Result<Vec<R>, Refusal>>>(
        &self,
        mut read: impl FnMut(Option<Uuid>, usize) -> F,
    ) -> Result<(Vec<R>, Option<Uuid>), Problem> {
        let (mut rows, mut after, mut looked) = (Vec::new(), self.after, 0);
        loop {
            // One more tells whether there is a next page.
            let some = if self.tags.is_some() { LONGEST_PAGE } else { self.size + 1 };
            let found = read(after, some).await?;
            let ended = found.len() < some;
            looked += found.len();
            for row in found {
                if rows.len() == self.size {
                    return Ok((rows, after));
                }
                after = Some(row.id());
                if self.tags.as_ref().is_none_or(|tags| tags.fit(row.tags())) {
                    rows.push(row);
                }
            }
            if ended {
                return Ok((rows, None));
            }
            if looked >= LOOKED_THROUGH {
                return Ok((rows, after));
            }
        }
    }

    /// The page of a list that is there as a whole, in order of its ids.
    pub(super) fn cut<'r, R: Row>(&self, all: &'r [R]) -> (Vec<&'r R>, Option<Uuid>) {
        let begin = self.after.map_or(0, |after| all.partition_point(|row| row.id() <= after));
        let fits = |row: &&R| self.tags.as_ref().is_none_or(|tags| tags.fit(row.tags()));
        let mut fitting = all[begin..].iter().filter(fits);
        let rows: Vec<&R> = fitting.by_ref().take(self.size).collect();
        let last = rows.last().filter(|_| fitting.next().is_some()).map(|row| row.id());
        (rows, last)
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.tags.is_some()
    }

    /// Kong's list: `offset` is absent on the last page, and `next` is null there.
    pub(super) fn answer(&self, path: &str, rows: Vec<Value>, last: Option<Uuid>) -> Response {
        let Some(last) = last else {
            return axum::Json(json!({ "data": rows, "next": null })).into_response();
        };
        let mut next = format!("{path}?offset={last}&size={}", self.size);
        if let Some(tags) = &self.tags {
            next.push_str("&tags=");
            next.push_str(&segment(&tags.text));
        }
        axum::Json(json!({ "data": rows, "next": next, "offset": last })).into_response()
    }
}

impl Tags {
    /// `a,b` are both, `a/b` any of the two.
    fn of(text: &str) -> Result<Self, Problem> {
        let (any, all) = (text.contains('/'), text.contains(','));
        let names: Vec<String> = text.split([',', '/']).map(str::to_owned).collect();
        let fault = if text.is_empty() {
            "cannot be null"
        } else if (any && all) || names.iter().any(String::is_empty) {
            "invalid filter syntax"
        } else if names.len() > MOST_TAGS {
            "at most 5 tags can be asked for"
        } else {
            return Ok(Self { text: text.to_owned(), names, all: !any });
        };
        Err(Problem::InvalidOptions { option: "tags", why: fault })
    }

    fn fit(&self, tags: &[String]) -> bool {
        let has = |name: &String| tags.contains(name);
        if self.all { self.names.iter().all(has) } else { self.names.iter().any(has) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    struct Numbered(u128, Vec<String>);

    impl Row for Numbered {
        fn id(&self) -> Uuid {
            Uuid::from_u128(self.0)
        }

        fn tags(&self) -> &[String] {
            &self.1
        }
    }

    fn page(size: Option<&str>, offset: Option<&str>, tags: Option<&str>) -> Result<Page, Problem> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Page::of(&Asked { size: owned(size), offset: owned(offset), tags: owned(tags), custom_id: None })
    }

    #[test]
    fn sizes_offsets_and_filters_are_read_strictly() {
        for size in ["0", "1001", "-1", "1.5", "x", ""] {
            assert!(matches!(page(Some(size), None, None), Err(Problem::InvalidSize(_))), "{size}");
        }
        assert!(matches!(page(None, Some("x"), None), Err(Problem::InvalidOffset)));
        for tags in ["", ",", "a,", "/a", "a,b/c", "a,b,c,d,e,f"] {
            assert!(matches!(page(None, None, Some(tags)), Err(Problem::InvalidOptions { .. })), "{tags}");
        }
        assert!(page(Some("1000"), Some("00000000-0000-0000-0000-000000000001"), Some("a/b c")).is_ok());
    }

    /// Walks all pages over rows of which every `tagged`th has the tag.
    async fn walk(rows: u128, size: &str, tags: Option<&str>, tagged: u128) -> (Vec<u128>, usize) {
        let (mut seen, mut pages, mut offset) = (Vec::new(), 0, None);
        loop {
            let asked = page(Some(size), offset.as_deref(), tags).unwrap();
            let read = |after: Option<Uuid>, limit: usize| async move {
                let first = after.map_or(1, |after| after.as_u128() + 1);
                let tags = |number| if number % tagged == 0 { vec!["t".to_owned()] } else { vec![] };
                Ok((first..=rows).take(limit).map(|number| Numbered(number, tags(number))).collect())
            };
            let (found, last) = asked.read(read).await.unwrap();
            seen.extend(found.iter().map(|row| row.0));
            pages += 1;
            match last {
                Some(last) => offset = Some(last.to_string()),
                None => return (seen, pages),
            }
        }
    }

    #[tokio::test]
    async fn every_row_is_on_one_page_and_the_last_page_says_so() {
        assert_eq!(walk(0, "10", None, 1).await, (vec![], 1));
        assert_eq!(walk(10, "10", None, 1).await, ((1..=10).collect(), 1));
        assert_eq!(walk(11, "10", None, 1).await, ((1..=11).collect(), 2));
        let tagged = (1..=30_000).filter(|number| number % 7_000 == 0).collect::<Vec<_>>();
        let (seen, pages) = walk(30_000, "10", Some("t"), 7_000).await;
        assert_eq!(seen, tagged);
        assert!(pages >= 3, "no call looks through everything");
        assert_eq!(walk(2_500, "2", Some("t"), 500).await, ((1..=5).map(|it| it * 500).collect(), 3));
    }

    #[test]
    fn a_list_that_is_there_as_a_whole_has_the_same_pages() {
        let tags = |number| if number % 3 == 0 { vec!["t".to_owned()] } else { vec![] };
        let all: Vec<Numbered> = (1..=10).map(|number| Numbered(number, tags(number))).collect();
        for (size, tags, expected) in [
            ("4", None, vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]),
            ("5", None, vec![vec![1, 2, 3, 4, 5], vec![6, 7, 8, 9, 10]]),
            ("2", Some("t"), vec![vec![3, 6], vec![9]]),
            ("3", Some("t"), vec![vec![3, 6, 9]]),
        ] {
            let (mut pages, mut offset) = (Vec::new(), None);
            loop {
                let (rows, last) = page(Some(size), offset.as_deref(), tags).unwrap().cut(&all);
                pages.push(rows.iter().map(|row| row.0).collect::<Vec<_>>());
                match last {
                    Some(last) => offset = Some(last.to_string()),
                    None => break,
                }
            }
            assert_eq!(pages, expected);
        }
    }
}
