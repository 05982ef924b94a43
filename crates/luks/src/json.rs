//! JSON of untrusted origin as a tree that hides nothing: a member that stands twice is seen, and each member must
//! be asked for or it is refused.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{HeaderError, shown};

/// A JSON value. Kinds that the template has not keep their name only.
pub(crate) enum Node {
    Text(String),
    Number(u64),
    List(Vec<Node>),
    Members(Vec<(String, Node)>),
    Other(&'static str),
}

impl Node {
    /// Decodes; the caller has limited the length, the decoder limits the depth (128).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, HeaderError> {
        let node: Self = serde_json::from_slice(text).map_err(|error| HeaderError::Json {
            detail: error.to_string(),
        })?;
        node.refuse_repeated("")?;
        Ok(node)
    }

    fn refuse_repeated(&self, path: &str) -> Result<(), HeaderError> {
        match self {
            Self::Members(members) => {
                let mut seen = BTreeSet::new();
                for (name, value) in members {
                    let path = join(path, name);
                    if !seen.insert(name) {
                        return Err(HeaderError::RepeatedMember { path });
                    }
                    value.refuse_repeated(&path)?;
                }
                Ok(())
            }
            Self::List(items) => items.iter().try_for_each(|item| item.refuse_repeated(path)),
            Self::Text(_) | Self::Number(_) | Self::Other(_) => Ok(()),
        }
    }

    /// A member of an object, for a look before the template is matched. Absent also if this is no object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entries()
            .find_map(|(found, node)| (found == name).then_some(node))
    }

    /// Members of an object, none if this is no object.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = match self {
            Self::Members(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// The first text in here, however deep, that contains `part`.
    pub(crate) fn find_text(&self, part: &str) -> Option<&str> {
        match self {
            Self::Text(text) => text.contains(part).then_some(text.as_str()),
            Self::List(items) => items.iter().find_map(|item| item.find_text(part)),
            Self::Members(members) => members.iter().find_map(|(name, node)| {
                name.contains(part)
                    .then_some(name.as_str())
                    .or_else(|| node.find_text(part))
            }),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a whole number",
            Self::List(_) => "a list",
            Self::Members(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whatever)
    }
}

struct Whatever;

impl<'de> Visitor<'de> for Whatever {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(u64::try_from(number).map_or(Node::Other("a negative number"), Node::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other("a number with a fraction"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other("true or false"))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(Node::Members(members))
    }
}

/// A value and where it stands.
pub(crate) struct Place<'a> {
    pub(crate) path: String,
    node: &'a Node,
}

impl<'a> Place<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self {
            path: String::new(),
            node,
        }
    }

    pub(crate) fn members(self) -> Result<Members<'a>, HeaderError> {
        match self.node {
            Node::Members(members) => Ok(Members {
                path: self.path,
                rest: members.iter().map(|(name, node)| (name.as_str(), node)).collect(),
            }),
            _ => Err(self.not("an object")),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, HeaderError> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.not("a string")),
        }
    }

    pub(crate) fn number(&self) -> Result<u64, HeaderError> {
        match self.node {
            Node::Number(number) => Ok(*number),
            _ => Err(self.not("a whole number")),
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<&'a str>, HeaderError> {
        let Node::List(items) = self.node else {
            return Err(self.not("a list"));
        };
        let text = |node| Self {
            path: self.path.clone(),
            node,
        };
        items.iter().map(|node| text(node).text()).collect()
    }

    pub(crate) fn must_be(&self, expected: &str) -> Result<(), HeaderError> {
        match self.text()? {
            found if found == expected => Ok(()),
            found => Err(self.other_value(expected, found)),
        }
    }

    pub(crate) fn must_be_number(&self, expected: u64) -> Result<(), HeaderError> {
        match self.number()? {
            found if found == expected => Ok(()),
            found => Err(self.other_value(&expected.to_string(), &found.to_string())),
        }
    }

    pub(crate) fn other_value(&self, expected: &str, found: &str) -> HeaderError {
        HeaderError::OtherValue {
            path: self.path.clone(),
            expected: expected.to_owned(),
            found: shown(found),
        }
    }

    fn not(&self, expected: &'static str) -> HeaderError {
        HeaderError::Kind {
            path: self.path.clone(),
            expected,
            found: self.node.kind(),
        }
    }
}

/// Members of an object that nobody has asked for yet.
pub(crate) struct Members<'a> {
    path: String,
    rest: Vec<(&'a str, &'a Node)>,
}

impl<'a> Members<'a> {
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Place<'a>, HeaderError> {
        self.take_if_there(name)
            .ok_or_else(|| HeaderError::MissingMember {
                path: join(&self.path, name),
            })
    }

    pub(crate) fn take_if_there(&mut self, name: &str) -> Option<Place<'a>> {
        let at = self.rest.iter().position(|(found, _)| *found == name)?;
        let (_, node) = self.rest.swap_remove(at);
        Some(Place {
            path: join(&self.path, name),
            node,
        })
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), HeaderError> {
        match self.rest.first() {
            None => Ok(()),
            Some((name, _)) => Err(HeaderError::UnknownMember {
                path: join(&self.path, name),
            }),
        }
    }
}

/// The path of a member; long ones lose their beginning, so that depth costs no memory.
fn join(path: &str, name: &str) -> String {
    let name = shown(name);
    if path.is_empty() || path.len() > 200 {
        name
    } else {
        format!("{path}.{name}")
    }
}
