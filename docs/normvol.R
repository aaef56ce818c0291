# Read the tidy tables of normvol's group level. Base R; package arrow where the long table is Parquet only.

normvol_read <- function(path) {
  read.delim(path, na.strings = "n/a", check.names = FALSE, quote = "\"", stringsAsFactors = FALSE)
}

# One row per scan and region.
normvol_long <- function(folder) {
  tsv <- file.path(folder, "group_long.tsv")
  if (file.exists(tsv)) return(normvol_read(tsv))
  as.data.frame(arrow::read_parquet(file.path(folder, "group_long.parquet")))
}

# One row per scan, with everything that is known about it.
normvol_scans <- function(folder) normvol_read(file.path(folder, "group_scans.tsv"))

# One row per scan and one column per region, of z or another column of the long table.
normvol_wide <- function(long, value = "z") {
  ids <- intersect(c("participant_id", "session_id"), names(long))
  wide <- reshape(long[c(ids, "region", value)], idvar = ids, timevar = "region", direction = "wide")
  names(wide) <- sub(paste0("^", value, "\\."), "", names(wide))
  wide
}
