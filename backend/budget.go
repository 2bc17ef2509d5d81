package backend

// budget bounds the calls that are sent again after their bytes had been
// written: each call adds a part of a token, and sending again takes a whole
// one. So a cluster that fails everything gets a little more load, not twice as
// much. (Finagle's retry budgets work like that.)
type budget struct {
	tokens, share float64
}

const (
	// minTokens are there from the start: a cluster with few calls may send some
	// again, too.
	minTokens = 10
	maxTokens = 100
)

func newBudget(percent int) budget {
	if percent == 0 {
		return budget{}
	}
	return budget{tokens: minTokens, share: float64(percent) / 100}
}

// Spend takes leave to send a call again, for which nil is returned, or
// ErrNoBudget.
func (c *Cluster) Spend() error {
	c.lock()
	defer c.unlock()
	if c.budget.tokens < 1 {
		c.metrics.BudgetExhausted.Inc()
		return ErrNoBudget
	}
	c.budget.tokens--
	c.metrics.Resends.Inc()
	return nil
}

// Earn counts a call that might have to be sent again.
func (c *Cluster) Earn() {
	c.lock()
	c.budget.tokens = min(maxTokens, c.budget.tokens+c.budget.share)
	c.unlock()
}
