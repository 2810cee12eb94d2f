package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/api"
	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// rejectedBatches is what an operator does with what the upstream refused for
// good. accepted = delivered + rejected + pending holds whatever is done here:
// a batch was settled when it was refused, and what becomes of it later has
// metrics of its own.
type rejectedBatches struct {
	log     *store.RejectedLog
	forward *forward.Forwarder
	busy    sync.Mutex // by the one resend or drop that goes on
	settled *prometheus.CounterVec
	samples *prometheus.CounterVec

	batchesDesc, samplesDesc, bytesDesc, lostDesc *prometheus.Desc
}

func newRejectedBatches(log *store.RejectedLog, f *forward.Forwarder, reg prometheus.Registerer) *rejectedBatches {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	r := &rejectedBatches{
		log: log, forward: f,
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pawl_rejected_batches_total",
			Help: "Rejected batches that were sent again or dropped by an operator, by outcome (accepted, refused, failed, dropped)."}, []string{"outcome"}),
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pawl_rejected_samples_total",
			Help: "Samples and native histograms of rejected batches that were sent again or dropped by an operator, by outcome (accepted, refused, failed, dropped)."}, []string{"outcome"}),
		batchesDesc: desc("pawl_rejected_batches", "Batches in the rejected store."),
		samplesDesc: desc("pawl_rejected_samples", "Samples and native histograms in the rejected store."),
		bytesDesc:   desc("pawl_rejected_bytes", "Size of the rejected store on disk."),
		lostDesc:    desc("pawl_rejected_evicted_samples_total", "Samples and native histograms that the rejected store dropped for want of room."),
	}
	for _, outcome := range []string{api.Accepted, api.RefusedAgain, api.Failed, "dropped"} {
		r.count(outcome, 0, 0)
	}
	reg.MustRegister(r.settled, r.samples, r)
	return r
}

func (r *rejectedBatches) count(outcome string, batches, samples int64) {
	r.settled.WithLabelValues(outcome).Add(float64(batches))
	r.samples.WithLabelValues(outcome).Add(float64(samples))
}

// Describe and Collect tell what is kept, looked up when asked for.
func (r *rejectedBatches) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{r.batchesDesc, r.samplesDesc, r.bytesDesc, r.lostDesc} {
		ch <- d
	}
}

func (r *rejectedBatches) Collect(ch chan<- prometheus.Metric) {
	batches, samples := r.log.Count()
	_, lost := r.log.Dropped()
	ch <- prometheus.MustNewConstMetric(r.batchesDesc, prometheus.GaugeValue, float64(batches))
	ch <- prometheus.MustNewConstMetric(r.samplesDesc, prometheus.GaugeValue, float64(samples))
	ch <- prometheus.MustNewConstMetric(r.bytesDesc, prometheus.GaugeValue, float64(r.log.Bytes()))
	ch <- prometheus.MustNewConstMetric(r.lostDesc, prometheus.CounterValue, float64(lost))
}

var errBusy = errors.New("rejected batches are being sent again or dropped already; wait until that has ended")

// resend sends batches once more, oldest first, one at a time: each that is
// accepted is off the books, durably, before the next is sent. It ends when
// the upstream cannot be asked, for then the next one could not be either.
func (r *rejectedBatches) resend(ctx context.Context, q api.RejectedQuery) (report api.ResendReport, err error) {
	seqs, more, err := r.selected(q)
	if err != nil {
		return report, err
	}
	if !r.busy.TryLock() {
		return report, api.Unavailable(errBusy)
	}
	defer r.busy.Unlock()
	for i, seq := range seqs {
		if report.Stopped != "" {
			break
		}
		item, goOn, err := r.resendOne(ctx, seq)
		if err != nil {
			return report, err
		}
		report.Items = append(report.Items, item)
		if !goOn {
			report.Stopped = item.Answer
		} else if more && i == len(seqs)-1 {
			report.Next = item.ID
		}
	}
	return report, nil
}

// resendOne says in goOn whether the next one may be tried.
func (r *rejectedBatches) resendOne(ctx context.Context, seq uint64) (item api.ResendResult, goOn bool, err error) {
	item = api.ResendResult{ID: strconv.FormatUint(seq, 10), Outcome: api.Failed}
	b, found, err := r.log.Get(seq)
	if err != nil {
		return item, false, err
	}
	if !found {
		item.Answer = "is not kept (any more)"
		return item, true, nil
	}
	item.Samples = int(b.Samples)
	defer func() { r.count(item.Outcome, 1, int64(b.Samples)) }()
	sent, err := r.forward.Resend(ctx, b)
	if ctx.Err() != nil && err != nil {
		return item, false, ctx.Err()
	}
	if err != nil { // it cannot be sent; others can
		item.Answer = err.Error()
		return item, true, nil
	}
	item.Status, item.Answer = sent.Status, sent.Answer
	switch {
	case sent.Refused:
		item.Outcome = api.RefusedAgain
	case sent.Accepted:
		item.Outcome = api.Accepted
		if _, _, err := r.log.Settle([]uint64{seq}, store.Resent); err != nil {
			return item, false, fmt.Errorf("batch %d was accepted, but that cannot be noted, so it is still kept: %w", seq, err)
		}
	default:
		return item, false, nil
	}
	return item, true, nil
}

// drop lets batches go.
func (r *rejectedBatches) drop(q api.RejectedQuery) (api.Dropped, error) {
	q.Limit = 1 << 30
	seqs, _, err := r.selected(q)
	if err != nil {
		return api.Dropped{}, err
	}
	if !r.busy.TryLock() {
		return api.Dropped{}, api.Unavailable(errBusy)
	}
	defer r.busy.Unlock()
	batches, samples, err := r.log.Settle(seqs, store.Thrown)
	r.count("dropped", batches, samples)
	return api.Dropped{Batches: int(batches), Samples: int(samples)}, err
}

// selected gives the batches that q means; more says that there are others behind them.
func (r *rejectedBatches) selected(q api.RejectedQuery) (seqs []uint64, more bool, err error) {
	if !q.All {
		for _, id := range q.IDs {
			seq, err := parseBatch("id", id)
			if err != nil {
				return nil, false, err
			}
			seqs = append(seqs, seq)
		}
		return seqs, false, nil
	}
	var after uint64
	if q.After != "" {
		if after, err = parseBatch("after", q.After); err != nil {
			return nil, false, err
		}
	}
	seqs = r.log.Oldest(after, q.Limit+1)
	if more = len(seqs) > q.Limit; more {
		seqs = seqs[:q.Limit]
	}
	return seqs, more, nil
}

func parseBatch(parameter, s string) (uint64, error) {
	seq, err := strconv.ParseUint(s, 10, 64)
	if err != nil || seq == 0 {
		return 0, api.BadData(fmt.Errorf("%s: %q is no batch that a list of rejected batches gave out", parameter, s))
	}
	return seq, nil
}

// list gives up to limit batches, newest first, older than the cursor.
func (r *rejectedBatches) list(after string, limit int) (found []api.Rejected, next string, err error) {
	var from uint64
	if after != "" {
		if from, err = parseBatch("after", after); err != nil {
			return nil, "", err
		}
	}
	list, err := r.log.List(from, limit+1, true)
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatUint(list[limit-1].Seq, 10)
	}
	for _, b := range list {
		found = append(found, rejectedOf(b))
	}
	return found, next, nil
}

func rejectedOf(b store.Rejected) api.Rejected {
	return api.Rejected{
		ID: strconv.FormatUint(b.Seq, 10), Time: time.UnixMilli(b.Time).UTC(), Tenant: b.Tenant,
		Status: b.Status, Answer: b.Answer, Samples: int(b.Samples), Bytes: len(b.Body),
	}
}

// read gives one batch with what is in it.
func (r *rejectedBatches) read(id string, limit int) (out api.RejectedBatch, err error) {
	seq, err := parseBatch("id", id)
	if err != nil {
		return out, err
	}
	b, found, err := r.log.Get(seq)
	if err != nil {
		return out, err
	}
	if !found {
		return out, api.NotFound(fmt.Errorf("batch %d is not kept (any more)", seq))
	}
	out = api.RejectedBatch{Rejected: rejectedOf(b), RemoteWrite: fmt.Sprintf("%d.0", b.Version), BodyKept: b.Body != nil}
	if b.Body == nil {
		return out, nil
	}
	var batch rewrite.Batch
	if err := batch.Decode(rewrite.Version(b.Version), b.Tenant, b.Body, rewrite.Limits{}); err != nil {
		return out, fmt.Errorf("decode batch %d: %w", seq, err)
	}
	out.SeriesCount = len(batch.Series)
	for i := range min(limit, len(batch.Series)) {
		s, err := seriesIn(&batch, i)
		if err != nil {
			return out, fmt.Errorf("decode batch %d: %w", seq, err)
		}
		out.Series = append(out.Series, s)
	}
	return out, nil
}

// seriesIn is series i of a batch.
func seriesIn(b *rewrite.Batch, i int) (api.RejectedSeries, error) {
	s := b.Series[i]
	out := api.RejectedSeries{Labels: b.Labels(i).Map()}
	for _, p := range b.Samples[s.S0:s.S1] {
		out.Samples = append(out.Samples, api.RejectedSample{Time: time.UnixMilli(p.T).UTC(), Value: api.Float(p.V)})
	}
	for j := s.H0; j < s.H1; j++ {
		h, _, err := b.FloatHistogram(int(j))
		if err != nil {
			return out, err
		}
		out.Histograms = append(out.Histograms, api.RejectedHistogram{Time: time.UnixMilli(b.Histograms[j].T).UTC(), Text: h.String()})
	}
	return out, nil
}
