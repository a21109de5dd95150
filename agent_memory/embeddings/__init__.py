"""Vectors of states: named features, encoders with and without training, and search by similarity.

* ``features``: a state as named values;
* ``version_zero``: the encoder that needs no training;
* ``schema``: how features become rows of numbers, learned from states, and back;
* ``encoder``: inference of a fitted encoder, in NumPy; ``artifact``: its file;
* ``training``: fits one, and keeps what was learned only if it beats PCA;
* ``autoencoder``: the network, the only user of torch, loaded when something is trained;
* ``engine``: the promised ``AutoencoderEmbeddingEngine``;
* ``vector_store``: exact search among vectors.
"""
