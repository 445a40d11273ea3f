//! Definitions of wire types: a struct is a fixed array, an enum an array that begins with its discriminant.
//!
//! Derived serde code would write maps and variant names; these two macros write what `proto/` says instead and keep
//! the definition readable as the schema.

/// Defines a struct that is the fixed array of its fields, in order.
macro_rules! array_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)+ }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple as _;
                let mut array = serializer.serialize_tuple([$(stringify!($field)),+].len())?;
                $(array.serialize_element(&self.$field)?;)+
                array.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ArrayVisitor;

                impl<'de> serde::de::Visitor<'de> for ArrayVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the array of ", stringify!($name)))
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<$name, A::Error> {
                        let value = $name {
                            $($field: seq.next_element()?.ok_or_else(|| serde::de::Error::custom(concat!(
                                stringify!($name), " lacks ", stringify!($field)
                            )))?,)+
                        };
                        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                            return Err(serde::de::Error::custom(concat!(stringify!($name), " has too many fields")));
                        }
                        Ok(value)
                    }
                }

                deserializer.deserialize_tuple([$(stringify!($field)),+].len(), ArrayVisitor)
            }
        }
    };
}
pub(crate) use array_struct;

/// Defines an enum whose variants are arrays: the discriminant, then the variant's fields in order.
macro_rules! tagged_enum {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $tag:literal => $variant:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* },)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant { $($(#[$field_meta])* $field: $type,)* },)+
        }

        impl $name {
            /// The integer that stands for the variant on the wire.
            pub const fn discriminant(&self) -> u8 {
                match self { $(Self::$variant { .. } => $tag,)+ }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple as _;
                match self {
                    $(Self::$variant { $($field,)* } => {
                        let fields: &[&str] = &[$(stringify!($field)),*];
                        let mut array = serializer.serialize_tuple(1 + fields.len())?;
                        array.serialize_element(&($tag as u8))?;
                        $(array.serialize_element($field)?;)*
                        array.end()
                    })+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ArrayVisitor;

                impl<'de> serde::de::Visitor<'de> for ArrayVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the array of ", stringify!($name)))
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<$name, A::Error> {
                        let tag: u8 = seq.next_element()?.ok_or_else(|| serde::de::Error::custom(concat!(
                            stringify!($name), " lacks its discriminant"
                        )))?;
                        let value = match tag {
                            $($tag => $name::$variant {
                                $($field: seq.next_element()?.ok_or_else(|| serde::de::Error::custom(concat!(
                                    stringify!($variant), " lacks ", stringify!($field)
                                )))?,)*
                            },)+
                            other => return Err(serde::de::Error::custom(format_args!(
                                concat!("unknown discriminant {} of ", stringify!($name)), other
                            ))),
                        };
                        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                            return Err(serde::de::Error::custom(concat!(stringify!($name), " has too many fields")));
                        }
                        Ok(value)
                    }
                }

                deserializer.deserialize_seq(ArrayVisitor)
            }
        }
    };
}
pub(crate) use tagged_enum;
