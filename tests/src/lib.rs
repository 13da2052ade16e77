//! The fake host and the models that the integration tests and fuzz targets share.
