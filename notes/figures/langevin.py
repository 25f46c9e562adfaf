from matplotlib.figure import Figure
def bias(step_size=0.1, noise=True):
    f=Figure(figsize=(6,3.6),dpi=180); ax=f.subplots(); ax.plot([0,1],[0,step_size]); ax.set_title(str(noise)); ax.set_ylim(0,1); return f
def walk(time=50):
    f=Figure(figsize=(6,3.6),dpi=180); ax=f.subplots(); ax.plot([0,time],[0,time]); ax.set_xlim(0,200); return f
