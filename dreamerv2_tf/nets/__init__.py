"""Networks: layers, distributions, RSSM, encoder, decoder, heads, optimizer."""
