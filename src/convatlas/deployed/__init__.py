"""An exported file at work: labels, accuracy and speed. Needs numpy, Pillow and an engine, no torch.

    predict     labels for image files, with a table or JSON
    evaluate    accuracy on a data set, with the figures of ``convatlas evaluate``
    speed       latency, images per second, memory and start-up, in a process of its own
    command     the command ``convatlas-runtime``, which has these three

This room and what it imports are also the distribution ``convatlas-runtime``: `runtime/` builds it.
"""
