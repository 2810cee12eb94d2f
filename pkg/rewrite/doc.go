package rewrite

// Where the specifications leave a choice, or senders and receivers have habits:
//
//   - Labels may come unsorted: Prometheus' receiver sorts. They go out as they
//     came as long as their series is not rewritten, else sorted.
//   - A label with an empty value counts as absent, as in Prometheus: it has no
//     part in the Key and is not shown by Label and Labels. It goes out with the
//     bytes it came in, and is left out where labels are rewritten. An empty name
//     is refused, and so is a series all of whose labels are empty.
//   - Label names may be any UTF-8 in both versions. The text of 1.0 has the old
//     character set, but Prometheus 3 sends UTF-8 names over 1.0 and takes them.
//     __name__ may be missing (2.0: "SHOULD").
//   - One malformed series refuses the whole request (400, nothing accepted).
//     Prometheus leaves such a series out of a 1.0 request in silence; a relay that
//     promises every acknowledged sample cannot.
//   - 1.0: a TimeSeries may carry nothing but labels, or samples and histograms
//     together. 2.0: neither.
//   - 2.0: a TimeSeries that carries exemplars only is accepted (rc.5) but never sent:
//     receivers of today answer 400 (prometheus#17857). Its exemplars go to a
//     TimeSeries of the same series in the same request, or are left out and counted.
//   - Native histograms are held to Prometheus' model, integer, float and custom
//     buckets. Exponential schemas above 8, which receivers reduce, are accepted.
//   - Of a field that must not repeat, the last one counts. Varints may be longer than they
//     need to be, up to 64 bits. Unknown fields stay, except in another version.
//   - rc.3's created_timestamp (TimeSeries field 6) is read as the start timestamp of
//     all samples without their own, and written back there while it can speak for all.
//   - 1.0 has no place for start timestamps, 2.0 none for metadata without a series.
//     Inline metadata becomes one entry per family in 1.0, and the other way round.
//   - Of exemplars only structure, label names, references and UTF-8 are checked: a
//     receiver leaves out the single exemplar it does not like.
