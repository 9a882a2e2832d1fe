//! Strings to numbers and back: each name is hashed once a row and kept once.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::limits::Protection;
use crate::input::NONE;

/// What the numbers of an [`Input`](crate::Input) stand for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// `order_id`, by order.
    pub orders: Vec<String>,
    /// `line`, by line.
    pub lines: Vec<i32>,
    /// By item.
    pub items: Vec<String>,
    /// By location.
    pub locations: Vec<String>,
    /// By service.
    pub services: Vec<String>,
    /// By zone.
    pub zones: Vec<String>,
    /// By customer.
    pub customers: Vec<String>,
    /// By segment.
    pub segments: Vec<String>,
    /// Location and name, by window.
    pub windows: Vec<(u32, String)>,
    /// What lower classes may not take, for stock that is not in the tables.
    pub protection: Protection,
}

impl Names {
    /// The number of a name in one of the lists here.
    pub fn find(list: &[String], name: &str) -> Option<u32> {
        let index = list.iter().position(|known| known == name)?;
        u32::try_from(index).ok()
    }
}

/// Keys that are numbered as they come.
#[derive(Debug)]
pub struct Interner<K> {
    ids: HashMap<K, u32, RandomState>,
    keys: Vec<K>,
}

impl<K> Default for Interner<K> {
    fn default() -> Self {
        Self {
            ids: HashMap::default(),
            keys: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Interner<K> {
    /// The number of a key, a new one if it has none.
    pub fn add(&mut self, key: K) -> u32 {
        let next = self.len();
        let id = *self.ids.entry(key).or_insert(next);
        if id == next {
            self.keys.push(key);
        }
        id
    }

    /// The number of a key, [`NONE`] if it has none.
    pub fn get(&self, key: K) -> u32 {
        self.ids.get(&key).copied().unwrap_or(NONE)
    }

    /// How many there are. Tables are too short for more than fit.
    pub fn len(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(NONE)
    }

    /// The keys by number.
    pub fn keys(&self) -> &[K] {
        &self.keys
    }
}

/// Names of all kinds.
#[derive(Debug, Default)]
pub struct Interned<'a> {
    /// See [`Names::orders`].
    pub orders: Interner<&'a str>,
    /// See [`Names::items`].
    pub items: Interner<&'a str>,
    /// See [`Names::locations`].
    pub locations: Interner<&'a str>,
    /// See [`Names::services`].
    pub services: Interner<&'a str>,
    /// See [`Names::zones`].
    pub zones: Interner<&'a str>,
    /// See [`Names::customers`].
    pub customers: Interner<&'a str>,
    /// See [`Names::segments`].
    pub segments: Interner<&'a str>,
    /// See [`Names::windows`].
    pub windows: Interner<(u32, &'a str)>,
    /// Words that lines require, by bit.
    pub words: Interner<&'a str>,
}

impl Interned<'_> {
    /// The names to keep.
    pub fn names(&self, lines: Vec<i32>, protection: Protection) -> Names {
        let owned = |interner: &Interner<&str>| -> Vec<String> {
            interner
                .keys()
                .iter()
                .map(|&name| name.to_owned())
                .collect()
        };
        let windows = self.windows.keys().iter();
        Names {
            orders: owned(&self.orders),
            lines,
            items: owned(&self.items),
            locations: owned(&self.locations),
            services: owned(&self.services),
            zones: owned(&self.zones),
            customers: owned(&self.customers),
            segments: owned(&self.segments),
            windows: windows.map(|&(at, name)| (at, name.to_owned())).collect(),
            protection,
        }
    }
}
