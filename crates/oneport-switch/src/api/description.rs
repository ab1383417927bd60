//! Descriptions of types, as the API's document has them: those of the library without their examples, which
//! are in Rust.

use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{RefOr, Schema};

/// Leaves examples out of what is said of a type, and of those within it.
pub(super) fn leave_examples_out(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    let (description, parts) = match schema {
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                leave_examples_out(items);
            }
            (&mut array.description, None)
        }
        Schema::Object(object) => {
            object.properties.values_mut().for_each(leave_examples_out);
            (&mut object.description, None)
        }
        Schema::OneOf(one) => (&mut one.description, Some(&mut one.items)),
        Schema::AllOf(all) => (&mut all.description, Some(&mut all.items)),
        Schema::AnyOf(any) => (&mut any.description, Some(&mut any.items)),
        _ => return,
    };
    parts.into_iter().flatten().for_each(leave_examples_out);
    if let Some(text) = description
        && let Some(example) = text.find("\n\n```")
    {
        text.truncate(example);
    }
}
