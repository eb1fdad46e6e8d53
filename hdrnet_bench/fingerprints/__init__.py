"""Is a picture the published rendering? Fingerprints of pictures, and what a difference is made of.

A fingerprint has size, statistics and a perceptual hash of a picture, and no pixel of it, so that
those of pictures which may not be passed on may be. Where a picture at hand differs from a
fingerprint, each thing that is known to go wrong is undone on the picture, and looked whether it
then fits.
"""
