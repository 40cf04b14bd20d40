"""The results page: `benchmarks.results` puts it together from the parts in here."""
