//! OCI images: references, registries, a content store and conversion of layers to EROFS
