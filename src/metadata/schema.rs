//! The macro that turns a table of fields into a struct and its codec.
//!
//! A table lists the untagged fields in wire order, then the tagged ones in ascending order of their tags:
//!
//! ```text
//! PartitionRecord {
//!     partition_id: i32 = -1,                     // in every version; the schema's default is -1
//!     directories: Vec<Uuid> [since 1],           // absent in version 0
//! } + tagged {
//!     1 eligible_leader_replicas: Option<Vec<NodeId>> [since 2],
//! }
//! ```
//!
//! As in Kafka, a tagged field that holds its default is not written.

/// Defines structs from tables of fields; see the module's documentation.
macro_rules! wire_structs {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$field_meta:meta])*
              $field:ident: $type:ty $([since $since:literal])? $(= $default:expr)?,)*
        } $(+ tagged {
            $($(#[$tagged_meta:meta])*
              $tag:literal $tagged:ident: $tagged_type:ty
              $([since $tagged_since:literal])? $(= $tagged_default:expr)?,)*
        })?
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $($($(#[$tagged_meta])* pub $tagged: $tagged_type,)*)?
        }

        impl Default for $name {
            /// Every field at the schema's default.
            fn default() -> Self {
                Self {
                    $($field: wire_structs!(@default $type $(, $default)?),)*
                    $($($tagged: wire_structs!(@default $tagged_type $(, $tagged_default)?),)*)?
                }
            }
        }

        impl $crate::metadata::codec::Field for $name {
            fn absent() -> Self {
                Self::default()
            }

            fn encode(&self, version: i16, out: &mut Vec<u8>) {
                $(if wire_structs!(@since $($since)?) <= version {
                    self.$field.encode(version, out);
                })*
                let tags = $crate::metadata::codec::TagWriter::new(version);
                $($(
                    let default = wire_structs!(@default $tagged_type $(, $tagged_default)?);
                    let known = wire_structs!(@since $($tagged_since)?) <= version;
                    let written = known && self.$tagged != default;
                    let tags = if written { tags.put($tag, &self.$tagged) } else { tags };
                )*)?
                tags.finish(out);
            }

            fn decode(
                version: i16,
                input: &mut $crate::metadata::codec::Reader<'_>,
            ) -> Result<Self, $crate::metadata::codec::BodyProblem> {
                $(let $field = if wire_structs!(@since $($since)?) <= version {
                    Field::decode(version, input)?
                } else {
                    wire_structs!(@default $type $(, $default)?)
                };)*
                $($(let mut $tagged = wire_structs!(@default $tagged_type $(, $tagged_default)?);)*)?
                $crate::metadata::codec::read_tags(input, |tag, body| match (version, tag, body) {
                    $($((version, $tag, body) if wire_structs!(@since $($tagged_since)?) <= version => {
                        $tagged = Field::decode(version, body)?;
                        Ok(true)
                    })*)?
                    _ => Ok(false),
                })?;
                Ok(Self { $($field,)* $($($tagged,)*)? })
            }

            #[cfg(test)]
            fn random(prng: &mut $crate::types::Prng) -> Self {
                // Any value will do for a struct without fields, too.
                let _ = prng.next_u64();
                Self { $($field: Field::random(prng),)* $($($tagged: Field::random(prng),)*)? }
            }
        }
    )*};
    (@since) => { 0 };
    (@since $since:literal) => { $since };
    (@default $type:ty) => { <$type as $crate::metadata::codec::Field>::absent() };
    (@default $type:ty, $default:expr) => { $default };
}

/// Defines the enum of all records: key, Kafka's name, newest version, struct.
macro_rules! record_kinds {
    ($($(#[$meta:meta])* $key:literal $kind:ident($name:ident) 0..=$newest:literal,)*) => {
        /// One record of the metadata log: one change of the cluster's state.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MetadataRecord {
            $($(#[$meta])* $kind($name),)*
        }

        impl MetadataRecord {
            /// Key, Kafka's name and newest version of every record.
            pub const KINDS: &'static [(u32, &'static str, i16)] = &[$(($key, stringify!($name), $newest),)*];

            /// The number that names this kind of record in the log.
            pub fn api_key(&self) -> u32 {
                match self { $(Self::$kind(_) => $key,)* }
            }

            /// Kafka's name of this kind of record.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($name),)* }
            }

            /// The newest version of this kind of record; what [`MetadataRecord::encode`] writes.
            pub fn newest_version(&self) -> i16 {
                match self { $(Self::$kind(_) => $newest,)* }
            }

            pub(in crate::metadata) fn encode_body(&self, version: i16, out: &mut Vec<u8>) {
                match self { $(Self::$kind(record) => Field::encode(record, version, out),)* }
            }

            pub(in crate::metadata) fn decode_body(
                api_key: u32,
                version: i16,
                input: &mut Reader<'_>,
            ) -> Option<Result<Self, BodyProblem>> {
                match api_key {
                    $($key => Some(<$name as Field>::decode(version, input).map(Self::$kind)),)*
                    _ => None,
                }
            }

            /// One record of the kind at `index` of [`MetadataRecord::KINDS`], at random.
            #[cfg(test)]
            pub(crate) fn random(index: usize, prng: &mut crate::types::Prng) -> Self {
                let makers: &[fn(&mut crate::types::Prng) -> Self] =
                    &[$(|prng| Self::$kind(<$name as Field>::random(prng)),)*];
                makers[index](prng)
            }
        }

        $(impl From<$name> for MetadataRecord {
            fn from(record: $name) -> Self {
                Self::$kind(record)
            }
        })*
    };
}

pub(super) use record_kinds;
pub(crate) use wire_structs;
